using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>Holds the weights of linear layers in the type that was asked for, and says which could not be.</summary>
internal static class HeldValues
{
    /// <summary>Replaces the weights.</summary>
    /// <param name="graph">Changed in place.</param>
    /// <param name="kind">The type that was asked for.</param>
    /// <returns>A line for the plan that names the weights with another type; empty when there is none.</returns>
    public static string Apply(ModelGraph graph, ValueKind kind)
    {
        var others = CompactValues.Apply(graph, kind, linearOnly: true).Where(w => w.Value != kind).GroupBy(w => w.Value, w => w.Key).ToList();
        return string.Concat(others.Select(o => $"held in {o.Key.ShortName()} instead of {kind.ShortName()}: {string.Join(", ", o)}{Environment.NewLine}"));
    }
}
