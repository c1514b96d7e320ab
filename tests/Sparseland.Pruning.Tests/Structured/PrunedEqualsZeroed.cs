using Sparseland.Model.Graph;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>The oracle of structured pruning: the smaller model computes what the model with the same units zeroed computes.</summary>
internal static class PrunedEqualsZeroed
{
    /// <summary>Removes random units from every group and compares; returns the smaller graph.</summary>
    public static SurgeryResult Check(ModelGraph graph, int seed, double fraction = 0.5, double tolerance = 2e-4, Func<ChannelGroup, bool>? only = null,
        IReadOnlyDictionary<string, TensorData>? feeds = null)
    {
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        var random = new Random(seed);
        var removal = new Removal(dependencies);
        foreach (ChannelGroup group in dependencies.Groups.Where(g => only?.Invoke(g) ?? true))
        {
            int[] units = [.. Enumerable.Range(0, group.UnitCount)];
            random.Shuffle(units);
            int count = Math.Clamp((int)Math.Round(group.UnitCount * fraction), 1, group.UnitCount - 1);
            removal.Add(group, units.Take(count));
        }
        return Check(removal, seed, tolerance, feeds);
    }

    /// <summary>Performs a removal and compares.</summary>
    public static SurgeryResult Check(Removal removal, int seed, double tolerance = 2e-4, IReadOnlyDictionary<string, TensorData>? feeds = null)
    {
        ModelGraph graph = removal.Dependencies.Graph;
        feeds ??= Feeds(graph, seed);
        ModelGraph zeroed = Surgeon.Zero(removal);
        SurgeryResult result = Surgeon.Remove(removal);
        OrderedDictionary<string, TensorData> expected = GraphEvaluator.Run(zeroed, feeds), actual = GraphEvaluator.Run(result.Graph, Shrink(feeds, result.Graph));
        foreach ((string name, TensorData want) in expected)
        {
            TensorData got = actual[name];
            if (want.Shape.SequenceEqual(got.Shape)) Near(want.ToSingles(), got.ToSingles(), tolerance, $"{graph.Name}: output '{name}'");
        }
        return result;
    }

    /// <summary>Random values for every input: floats in [-1, 1), indices in [0, 8), unknown sizes 2, 3, 4 ... by name.</summary>
    public static Dictionary<string, TensorData> Feeds(ModelGraph graph, int seed)
    {
        var random = new Random(seed);
        var sizes = new Dictionary<string, int>(StringComparer.Ordinal);
        var feeds = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            int[] shape = [.. input.Type.Shape!.Select(d => d.IsKnown ? d.Value : sizes.TryGetValue(d.Symbol ?? "?", out int s) ? s : sizes[d.Symbol ?? "?"] = sizes.Count + 2)];
            int length = TensorData.CountElements(shape);
            feeds[input.Name] = input.Type.ElementType switch
            {
                ElementType.Float32 => TensorData.Wrap(Enumerable.Range(0, length).Select(_ => (random.NextSingle() * 2) - 1).ToArray(), shape),
                ElementType.Int64 => TensorData.Wrap(Enumerable.Range(0, length).Select(_ => (long)random.Next(8)).ToArray(), shape),
                ElementType.Bool => TensorData.Wrap(Enumerable.Range(0, length).Select(_ => random.Next(4) != 0).ToArray(), shape),
                _ => throw new NotSupportedException(input.ToString()),
            };
        }
        return feeds;
    }

    // Inputs that shrank with the model (a key/value cache) get the first entries: they must be equal in all of them.
    private static Dictionary<string, TensorData> Shrink(IReadOnlyDictionary<string, TensorData> feeds, ModelGraph graph)
    {
        var result = new Dictionary<string, TensorData>(feeds, StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            TensorData value = feeds[input.Name];
            var kept = new int[]?[value.Rank];
            for (int axis = 0; axis < value.Rank; axis++)
            {
                Dimension d = input.Type.Shape![axis];
                if (d.IsKnown && d.Value < value.Shape[axis]) kept[axis] = [.. Enumerable.Range(0, d.Value)];
            }
            if (kept.Any(k => k is not null)) result[input.Name] = AxisSlicing.Take(value, kept);
        }
        return result;
    }

    private static void Near(float[] want, float[] got, double tolerance, string what)
    {
        float scale = want.Length == 0 ? 1 : Math.Max(1, want.Max(Math.Abs));
        for (int i = 0; i < want.Length; i++)
        {
            Assert.False(float.IsNaN(want[i]), $"{what}[{i}] is NaN in the zeroed model");
            Assert.True(Math.Abs(want[i] - got[i]) <= tolerance * scale, $"{what}[{i}]: zeroed {want[i]}, pruned {got[i]}");
        }
    }
}
