using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis;

/// <summary>Where a sample's features lie relative to the class directions of the last linear layer.</summary>
/// <param name="Degrees">Angle between the features and the weight vector of the true class, 0 to 180; NaN when either is zero.</param>
/// <param name="Length">Euclidean length of the features.</param>
/// <param name="Margin">Signed distance of the features to the boundary between the true class and the best other one; positive = classified correctly.</param>
/// <param name="Target">The true class.</param>
/// <param name="Predicted">The class of the highest logit; the first of equals.</param>
public readonly record struct SampleGeometry(double Degrees, double Length, double Margin, int Target, int Predicted)
{
    /// <summary>Whether the sample is classified correctly.</summary>
    public bool IsCorrect => Target == Predicted;
}

/// <summary>The last linear layer of a classifier: one direction and one bias per class.</summary>
/// <param name="Input">Name of the value that the layer reads: the features, after every activation and normalisation.</param>
/// <param name="Directions">[classes, features], row-major.</param>
/// <param name="Biases">One per class.</param>
public sealed record ClassifierHead(string Input, float[] Directions, float[] Biases)
{
    /// <summary>Number of classes.</summary>
    public int Classes => Biases.Length;

    /// <summary>Number of features.</summary>
    public int Features => Classes == 0 ? 0 : Directions.Length / Classes;

    /// <summary>Finds the head of a model: the linear layer that makes the first output, perhaps with a bias added behind it.</summary>
    /// <exception cref="PruningException">SL4022: the model does not end in a linear layer.</exception>
    public static ClassifierHead Find(ModelGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        PrunableLayer? layer = LayerDiscovery.Find(graph).FirstOrDefault(l => l.IsLast);
        if (layer is null || layer.Kind != LayerKind.Linear || layer.IsTied) throw None(graph, layer is null ? "it has no layer" : $"its last layer, '{layer.Name}', is {layer.Kind}");
        Node node = graph.Nodes.First(n => n.Name == layer.Node);
        float[] directions = (float[])layer.ToMatrix(graph.Weights[layer.Name].Read().ToSingles()).Clone(), biases = new float[layer.Rows];
        string made = node.Output(0);
        float scale = 1;
        if (node.OpType == "Gemm")
        {
            scale = node.Attributes.Float("alpha", 1);
            if (node.Inputs.Count > 2 && node.Input(2).Length > 0) Add(node.Input(2), node.Attributes.Float("beta", 1));
        }
        else if (graph.Nodes.FirstOrDefault(n => n.OpType == "Add" && n.Inputs.Contains(made)) is { } add)
        {
            string other = add.Input(0) == made ? add.Input(1) : add.Input(0);
            if (graph.Weights.ContainsKey(other))
            {
                Add(other, 1);
                made = add.Output(0);
            }
        }
        for (int i = 0; i < directions.Length && scale != 1; i++) directions[i] *= scale;
        if (graph.Outputs.Count == 0 || graph.Outputs[0].Name != made) throw None(graph, $"'{layer.Name}' does not make the output");
        return new ClassifierHead(layer.Input, directions, biases);

        void Add(string name, float factor)
        {
            if (!graph.Weights.TryGetValue(name, out Weight? bias)) throw None(graph, $"the bias of '{layer.Name}' is computed");
            float[] values = bias.Read().ToSingles();
            if (values.Length != 1 && values.Length != biases.Length) throw None(graph, $"the bias of '{layer.Name}' has {values.Length} entries for {biases.Length} classes");
            for (int c = 0; c < biases.Length; c++) biases[c] += factor * values[values.Length == 1 ? 0 : c];
        }
    }

    /// <summary>Angles between class directions in degrees, [classes, classes], row-major; 0 on the diagonal.</summary>
    public double[] ClassAngles()
    {
        double[] angles = new double[Classes * Classes];
        for (int a = 0; a < Classes; a++)
        {
            for (int b = a + 1; b < Classes; b++)
            {
                angles[a * Classes + b] = angles[b * Classes + a] = FeatureGeometry.Angle(Direction(a), Direction(b));
            }
        }
        return angles;
    }

    /// <summary>The weight vector of a class.</summary>
    public ReadOnlySpan<float> Direction(int c) => Directions.AsSpan(c * Features, Features);

    private static PruningException None(ModelGraph graph, string because) => new("SL4022", $"'{graph.Name}' does not end in a linear layer, so it has no class directions")
    {
        Because = because,
        Try = "a classifier whose output is a linear layer",
    };
}

/// <summary>Angle, length and margin of a classifier's last features.</summary>
/// <remarks>
/// "Understanding Robustness Lottery: A Geometric Visual Comparative Analysis of Neural Network Pruning Approaches" (2022, revised 2023), section 4: the class direction, the angle to it, the
/// length of the features and the distance to the decision boundary. The margin is the usual signed distance ((w_y - w_c) f + b_y - b_c) / ||w_y - w_c|| to the boundary with the best
/// other class; the exact form in the paper is inferred.
/// </remarks>
public static class FeatureGeometry
{
    /// <summary>The geometry of one sample.</summary>
    /// <param name="head">Class directions and biases.</param>
    /// <param name="features">The features.</param>
    /// <param name="target">The true class.</param>
    public static SampleGeometry Of(ClassifierHead head, ReadOnlySpan<float> features, int target)
    {
        ArgumentNullException.ThrowIfNull(head);
        if (features.Length != head.Features) throw new ArgumentException($"{features.Length} features for a head of {head.Features}.", nameof(features));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)target, (uint)head.Classes, nameof(target));
        double own = double.NaN, best = double.NegativeInfinity, highest = double.NegativeInfinity;
        int other = -1, predicted = 0;
        for (int c = 0; c < head.Classes; c++)
        {
            double logit = head.Biases[c] + Dot(head.Direction(c), features);
            if (logit > highest) (highest, predicted) = (logit, c);
            if (c == target) own = logit;
            else if (logit > best) (best, other) = (logit, c);
        }
        double length = Math.Sqrt(Dot(features, features)), margin = double.PositiveInfinity;
        if (other >= 0)
        {
            double apart = 0;
            ReadOnlySpan<float> y = head.Direction(target), z = head.Direction(other);
            for (int i = 0; i < y.Length; i++) apart += ((double)y[i] - z[i]) * ((double)y[i] - z[i]);
            // Parallel boundaries: the sign is all that is left.
            margin = apart > 0 ? (own - best) / Math.Sqrt(apart) : Math.Sign(own - best);
        }
        return new SampleGeometry(Angle(features, head.Direction(target)), length, margin, target, predicted);
    }

    /// <summary>The geometry of every sample.</summary>
    /// <param name="graph">A classifier that ends in a linear layer.</param>
    /// <param name="data">Labelled samples; corrupt them before, not after, normalisation.</param>
    /// <param name="normalization">The model's input normalisation.</param>
    /// <param name="batch">Samples per forward pass.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="PruningException">SL4022: the model does not end in a linear layer, or its logits are not those of the layer.</exception>
    public static SampleGeometry[] Measure(ModelGraph graph, IDataset data, InputNormalization normalization, int batch = 256, CancellationToken cancellation = default)
    {
        ClassifierHead head = ClassifierHead.Find(graph);
        NetworkOutputs[] outputs = NetworkOutputs.Collect(new TrainableModel(graph), data, normalization, batch, [head.Input], cancellation);
        NetworkOutputs logits = outputs[0], features = outputs[1];
        if (features.Width != head.Features || features.Rows != logits.Rows) throw new PruningException("SL4022", $"'{graph.Name}' does not end in a linear layer over samples") { Because = $"the last layer reads {features.Rows} x {features.Width} values for {logits.Rows} samples" };
        var result = new SampleGeometry[features.Rows];
        for (int i = 0; i < result.Length; i++)
        {
            int target = features.Targets[i];
            if (target < 0 || target >= head.Classes) throw new PruningException("SL4022", $"the data has class {target}, the model {head.Classes} classes");
            result[i] = Of(head, features.Row(i), target);
            RequireIdentity(graph, head, features.Row(i), logits.Row(i));
        }
        return result;
    }

    internal static double Angle(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double lengths = Math.Sqrt(Dot(a, a)) * Math.Sqrt(Dot(b, b));
        return lengths > 0 ? Math.Acos(Math.Clamp(Dot(a, b) / lengths, -1, 1)) * 180 / Math.PI : double.NaN;
    }

    internal static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }

    // logit = ||w|| ||f|| cos(angle) + b: if it does not hold, the layer found is not what makes the output.
    private static void RequireIdentity(ModelGraph graph, ClassifierHead head, ReadOnlySpan<float> features, ReadOnlySpan<float> logits)
    {
        for (int c = 0; c < head.Classes; c++)
        {
            double expected = head.Biases[c] + Dot(head.Direction(c), features);
            if (Math.Abs(expected - logits[c]) > 1e-3 * (1 + Math.Abs(expected))) throw new PruningException("SL4022", $"the output of '{graph.Name}' is not that of its last linear layer ({logits[c]:G5} instead of {expected:G5})");
        }
    }
}
