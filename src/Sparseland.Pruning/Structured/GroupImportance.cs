using System.Numerics.Tensors;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Structured;

/// <summary>Which norm measures a unit.</summary>
public enum UnitNorm
{
    /// <summary>Sum of absolute values.</summary>
    L1,

    /// <summary>Square root of the sum of squares.</summary>
    L2,
}

/// <summary>Which weights of a unit are measured.</summary>
public enum UnitScope
{
    /// <summary>All weights that leave with it: filters, biases, norm parameters and the columns of what reads it.</summary>
    Group,

    /// <summary>The weight that makes the feature alone.</summary>
    Producer,
}

/// <summary>How much each unit of a group matters, by the norm of its weights.</summary>
/// <remarks>
/// With <see cref="UnitScope.Producer"/> and <see cref="UnitNorm.L1"/> this is the filter norm of Li et al., "Pruning Filters for
/// Efficient ConvNets" (ICLR 2017), section 3.1. With <see cref="UnitScope.Group"/> and <see cref="UnitNorm.L2"/> it is the group
/// norm of Fang et al., "DepGraph: Towards Any Structural Pruning" (CVPR 2023), section 3.3. Needs no data.
/// </remarks>
public sealed record GroupImportance
{
    /// <summary>The norm.</summary>
    public UnitNorm Norm { get; init; } = UnitNorm.L2;

    /// <summary>The weights that are measured.</summary>
    public UnitScope Scope { get; init; } = UnitScope.Group;

    /// <summary>Whether scores are divided by their group's mean, so that groups of different sizes and scales can be ranked together.</summary>
    public bool RelativeToGroup { get; init; } = true;

    /// <summary>The scores of a group's units, not negative; running statistics of batch normalisation do not count.</summary>
    /// <param name="graph">The model; masks count as zeros.</param>
    /// <param name="group">One of its groups.</param>
    public double[] Score(ModelGraph graph, ChannelGroup group)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(group);
        return Score(graph, group, ModelCost.RunningStatistics(graph));
    }

    internal double[] Score(ModelGraph graph, ChannelGroup group, HashSet<string> statistics)
    {
        var scores = new double[group.UnitCount];
        foreach (GroupMember member in Scope == UnitScope.Producer ? group.Members.Take(1) : group.Members)
        {
            Weight weight = graph.Weights[member.Weight];
            if (!weight.ElementType.IsFloat() || statistics.Contains(weight.Name)) continue;
            double[] perEntry = PerEntry(weight, member.Axis);
            for (int unit = 0; unit < scores.Length; unit++)
            {
                foreach (int entry in member.Entries(unit)) scores[unit] += perEntry[entry];
            }
        }
        if (Norm == UnitNorm.L2)
        {
            for (int unit = 0; unit < scores.Length; unit++) scores[unit] = Math.Sqrt(scores[unit]);
        }
        double mean = scores.Average();
        if (RelativeToGroup && mean > 0)
        {
            for (int unit = 0; unit < scores.Length; unit++) scores[unit] /= mean;
        }
        return scores;
    }

    // The sum of absolute values (or squares) of each slice along an axis.
    private double[] PerEntry(Weight weight, int axis)
    {
        ReadOnlySpan<int> shape = weight.Shape;
        int outer = 1, inner = 1, size = shape[axis];
        for (int i = 0; i < axis; i++) outer *= shape[i];
        for (int i = axis + 1; i < shape.Length; i++) inner *= shape[i];
        ReadOnlySpan<float> values = weight.Read().ToSingles();
        var sums = new double[size];
        for (int o = 0; o < outer; o++)
        {
            for (int entry = 0; entry < size; entry++)
            {
                ReadOnlySpan<float> slice = values.Slice(((o * size) + entry) * inner, inner);
                sums[entry] += Norm == UnitNorm.L1 ? TensorPrimitives.SumOfMagnitudes(slice) : TensorPrimitives.SumOfSquares(slice);
            }
        }
        return sums;
    }
}
