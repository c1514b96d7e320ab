using Sparseland.Model.Graph;

namespace Sparseland.Model.Analysis;

/// <summary>What one node costs.</summary>
/// <param name="Node">The node.</param>
/// <param name="Macs">Multiply-accumulates of one pass, dense.</param>
/// <param name="EffectiveMacs">Multiply-accumulates that remain when those with a zero weight are left out.</param>
/// <param name="OutputBytes">Bytes of its outputs.</param>
public sealed record NodeCost(Node Node, long Macs, long EffectiveMacs, long OutputBytes);

/// <summary>What one weight holds.</summary>
/// <param name="Weight">The weight.</param>
/// <param name="Elements">Number of elements.</param>
/// <param name="NonZeros">Elements that are not zero (by the mask where there is one).</param>
/// <param name="IsParameter">Whether it counts as a parameter: floating point, at least one axis, no running statistic.</param>
public sealed record WeightCost(Weight Weight, long Elements, long NonZeros, bool IsParameter);

/// <summary>Parameters, non-zeros, multiply-accumulates and memory of a model, in total, per node and per weight (R4).</summary>
/// <remarks>
/// Unknown sizes (batch, sequence) count as 1 unless they are given. Multiply-accumulates are counted for convolutions, matrix
/// products and attention; element-wise work is not counted, as is the custom in the pruning literature.
/// </remarks>
public sealed class ModelCost
{
    private ModelCost(IReadOnlyList<NodeCost> nodes, IReadOnlyList<WeightCost> weights, long peakActivationBytes)
    {
        Nodes = nodes;
        Weights = weights;
        PeakActivationBytes = peakActivationBytes;
        foreach (NodeCost node in nodes)
        {
            Macs += node.Macs;
            EffectiveMacs += node.EffectiveMacs;
            ActivationBytes += node.OutputBytes;
        }
        foreach (WeightCost weight in weights)
        {
            WeightBytes += weight.Elements * weight.Weight.ElementType.Size();
            if (!weight.IsParameter) continue;
            Parameters += weight.Elements;
            NonZeros += weight.NonZeros;
        }
    }

    /// <summary>Cost of every node, in order.</summary>
    public IReadOnlyList<NodeCost> Nodes { get; }

    /// <summary>Content of every weight, in order.</summary>
    public IReadOnlyList<WeightCost> Weights { get; }

    /// <summary>Number of parameters, zeros included; running statistics of batch normalisation are not parameters.</summary>
    public long Parameters { get; }

    /// <summary>Parameters that are not zero.</summary>
    public long NonZeros { get; }

    /// <summary>Removed fraction of the parameters, 0 to 1.</summary>
    public double Sparsity => Parameters == 0 ? 0 : 1 - ((double)NonZeros / Parameters);

    /// <summary>Multiply-accumulates of one pass, dense.</summary>
    public long Macs { get; }

    /// <summary>Multiply-accumulates without those whose weight is zero.</summary>
    public long EffectiveMacs { get; }

    /// <summary>Bytes of all weights as plain tensors.</summary>
    public long WeightBytes { get; }

    /// <summary>Bytes of all intermediate values together.</summary>
    public long ActivationBytes { get; }

    /// <summary>The largest sum of bytes of values that are needed at the same time.</summary>
    public long PeakActivationBytes { get; }

    /// <summary>Counts a model.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open; all others count as 1.</param>
    /// <param name="countZeros">Whether weights without a mask are read to count their zeros; otherwise they count as dense.</param>
    /// <exception cref="GraphException">A node's inputs break its operator's rules.</exception>
    public static ModelCost Of(ModelGraph graph, IReadOnlyDictionary<string, TensorType>? inputTypes = null, bool countZeros = true)
    {
        ArgumentNullException.ThrowIfNull(graph);
        var types = new Dictionary<string, TensorType>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs) types[input.Name] = Fixed(inputTypes?.GetValueOrDefault(input.Name) ?? input.Type);
        ShapeInference inference;
        try
        {
            inference = ShapeInference.Run(graph, types);
        }
        catch (GraphException) when (inputTypes is null)
        {
            // An image of 1 x 1 may be too small for the network: then sizes stay open and count as 1 each.
            inference = ShapeInference.Run(graph);
        }
        return Of(graph, name => inference.TypeOf(name)?.Shape, countZeros);
    }

    /// <summary>Counts a model whose shapes come from somewhere else, for example from a planned change that was not made yet.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="shapeOf">The shape of each value and weight; unknown sizes count as 1, unknown shapes as nothing.</param>
    /// <param name="countZeros">Whether zeros of weights are counted; only right when the shapes are those of the graph.</param>
    public static ModelCost Of(ModelGraph graph, Func<string, TensorShape?> shapeOf, bool countZeros = false)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(shapeOf);
        HashSet<string> statistics = RunningStatistics(graph);
        var weights = new List<WeightCost>();
        var density = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (Weight weight in graph.Weights.Values)
        {
            long elements = Elements(shapeOf(weight.Name) ?? TensorShape.Of(weight.Shape)), nonZeros = elements;
            bool parameter = weight.ElementType.IsFloat() && weight.Shape.Length > 0 && !statistics.Contains(weight.Name);
            if (weight.Mask is { } mask && mask.Length > 0) nonZeros = mask.Length == elements ? mask.KeptCount : (long)Math.Round(elements * mask.Density);
            else if (countZeros && parameter) nonZeros = weight.Read().NonZeros().KeptCount;
            weights.Add(new(weight, elements, nonZeros, parameter));
            density[weight.Name] = elements == 0 ? 1 : (double)nonZeros / elements;
        }
        // Zeros of a weight are still zeros behind a transposition or a cast.
        var source = new Dictionary<string, double>(density, StringComparer.Ordinal);
        var nodes = new List<NodeCost>(graph.Nodes.Count);
        foreach (Node node in graph.Nodes)
        {
            if (node.OpType is "Transpose" or "Cast" or "Identity" or "Reshape" && source.TryGetValue(node.Input(0), out double d)) source[node.Output(0)] = d;
            (long macs, double share) = MacCount.Of(node, shapeOf, name => source.TryGetValue(name, out double v) ? v : 1);
            long bytes = 0;
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0) bytes += Bytes(shapeOf(output));
            }
            nodes.Add(new(node, macs, (long)Math.Round(macs * share), bytes));
        }
        return new ModelCost(nodes, weights, Peak(graph, shapeOf));
    }

    /// <summary>Names of weights that batch normalisation keeps as running statistics.</summary>
    public static HashSet<string> RunningStatistics(ModelGraph graph)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (node.OpType != "BatchNormalization") continue;
            names.Add(node.Input(3));
            names.Add(node.Input(4));
        }
        return names;
    }

    internal static long Elements(TensorShape? shape)
    {
        if (shape is null) return 0;
        long n = 1;
        foreach (Dimension d in shape) n *= d.IsKnown ? d.Value : 1;
        return n;
    }

    // Sizes are what memory is planned with here: four bytes an element, whatever the type.
    private static long Bytes(TensorShape? shape) => 4 * Elements(shape);

    private static TensorType Fixed(TensorType type) => type.Shape is null
        ? type
        : type with { Shape = new TensorShape([.. type.Shape.Select(d => d.IsKnown ? d : new Dimension(1))]) };

    private static long Peak(ModelGraph graph, Func<string, TensorShape?> shapeOf)
    {
        var last = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int n = 0; n < graph.Nodes.Count; n++)
        {
            foreach (string name in GraphOrder.Reads(graph.Nodes[n])) last[name] = n;
        }
        foreach (GraphValue output in graph.Outputs) last[output.Name] = int.MaxValue;
        long live = 0, peak = 0;
        foreach (GraphValue input in graph.Inputs) live += Bytes(shapeOf(input.Name));
        for (int n = 0; n < graph.Nodes.Count; n++)
        {
            foreach (string output in graph.Nodes[n].Outputs)
            {
                if (output.Length > 0) live += Bytes(shapeOf(output));
            }
            peak = Math.Max(peak, live);
            foreach (string name in GraphOrder.Reads(graph.Nodes[n]).Distinct())
            {
                if (last[name] == n && !graph.Weights.ContainsKey(name)) live -= Bytes(shapeOf(name));
            }
            foreach (string output in graph.Nodes[n].Outputs)
            {
                if (output.Length > 0 && !last.ContainsKey(output)) live -= Bytes(shapeOf(output));
            }
        }
        return peak;
    }
}
