using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Training.Autograd;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Tests.Operators;

/// <summary>Every differentiable operator against its plain definition, and its gradients against central differences.</summary>
public class GradientCheckTests
{
    private const int Probes = 24;

    public static TheoryData<string> Names
    {
        get
        {
            var data = new TheoryData<string>();
            foreach (OperatorCase c in OperatorCases.All) data.Add(c.Name);
            return data;
        }
    }

    [Fact]
    public void EveryDifferentiableOperatorIsInTheTable()
    {
        HashSet<string> covered = [.. OperatorCases.All.Select(c => c.OpType)];
        Assert.Empty(DifferentiableOperators.All.Except(covered));
        Assert.Equal(OperatorCases.All.Count(), OperatorCases.All.Select(c => c.Name).Distinct().Count());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void ForwardAndGradientAreRight(string name)
    {
        OperatorCase c = OperatorCases.All.Single(x => x.Name == name);
        (ModelGraph graph, TrainableModel model) = Build(c);
        Node node = graph.Nodes[0];

        IReadOnlyDictionary<string, ModelValue> outputs = Run(model);
        if (OperatorRegistry.Find(node.OpType) is null) c = c with { HasReference = false };
        TensorData?[]? reference = c.HasReference ? Reference(node, graph, ElementType.Float32, null) : null;
        var weights = new Dictionary<string, Tensor>();
        var random = new Random(7);
        Tensor? loss = null;
        for (int o = 0; o < c.Outputs; o++)
        {
            Tensor y = outputs[$"y{o}"].Tensor;
            Assert.True(outputs[$"y{o}"].IsTensor, "the output has no gradient");
            if (reference?[o] is { } expected)
            {
                Assert.Equal(expected.Shape.ToArray(), y.Shape.ToArray());
                Near.Equal(expected.Span<float>(), y.Values, 2e-6, 1e-5, $"{name} output {o}");
            }
            Tensor r = Tensor.Uniform(random, -1, 1, y.Shape);
            weights[$"y{o}"] = r;
            Tensor term = (y * r).Sum();
            loss = loss is null ? term : loss + term;
        }
        Assert.NotNull(loss);
        loss.Backward();

        foreach (Parameter p in model.Parameters)
        {
            Assert.True(p.Grad is not null, $"{p.Name} has no gradient");
            Assert.Equal(p.Value.Shape.ToArray(), p.Grad.Shape.ToArray());
            IEnumerable<int> probes = p.Value.Length <= Probes ? Enumerable.Range(0, p.Value.Length) : Enumerable.Range(0, Probes).Select(_ => random.Next(p.Value.Length));
            foreach (int i in probes)
            {
                double numeric = Numeric(c, graph, model, p, i, weights, out double noise);
                double analytic = p.Grad.Values[i];
                Assert.True(Math.Abs(numeric - analytic) <= 2e-4 + noise + (2e-3 * Math.Abs(numeric)),
                    $"{name}: gradient of {p.Name}[{i}] is {analytic:G6}, differences give {numeric:G6}");
            }
        }
    }

    /// <summary>Central differences of fourth order: in double through the operator's plain definition where that computes doubles, else in single through the model.</summary>
    private static double Numeric(OperatorCase c, ModelGraph graph, TrainableModel model, Parameter p, int index, Dictionary<string, Tensor> weights, out double noise)
    {
        if (c.HasReference)
        {
            double? InDouble(double delta)
            {
                TensorData?[]? outputs = Reference(graph.Nodes[0], graph, ElementType.Float64, (p.Name, index, delta));
                return outputs is null ? null : Loss(outputs, weights);
            }
            const double H = 1e-3;
            if (InDouble(H) is { } a && InDouble(-H) is { } b && InDouble(2 * H) is { } d && InDouble(-2 * H) is { } e)
            {
                noise = 0;
                return ((8 * (a - b)) - (d - e)) / (12 * H);
            }
        }
        float original = p.Value.Values[index];
        double At(double delta)
        {
            p.Value.Values[index] = (float)(original + delta);
            p.TouchValues();
            using (GradientMode.Off())
            {
                IReadOnlyDictionary<string, ModelValue> outputs = Run(model);
                return weights.Sum(w => Dot(outputs[w.Key].Tensor, w.Value));
            }
        }
        const double Step = 1.0 / 64;
        double result = ((8 * (At(Step) - At(-Step))) - (At(2 * Step) - At(-2 * Step))) / (12 * Step);
        At(0);
        noise = 2e-3 * Math.Sqrt(weights.Values.Sum(w => w.Length) / 50.0);
        return result;
    }

    private static double Loss(TensorData?[] outputs, Dictionary<string, Tensor> weights)
    {
        double sum = 0;
        foreach ((string key, Tensor r) in weights)
        {
            Span<double> y = outputs[int.Parse(key[1..])]!.Span<double>();
            for (int i = 0; i < y.Length; i++) sum += y[i] * r.Values[i];
        }
        return sum;
    }

    private static double Dot(Tensor y, Tensor r)
    {
        double sum = 0;
        for (int i = 0; i < y.Length; i++) sum += (double)y.Values[i] * r.Values[i];
        return sum;
    }

    private static IReadOnlyDictionary<string, ModelValue> Run(TrainableModel model)
    {
        model.TrainingPasses = 0;
        return model.Forward(new Dictionary<string, ModelValue>());
    }

    /// <summary>The plain definition's outputs; null when it does not compute in this type.</summary>
    private static TensorData?[]? Reference(Node node, ModelGraph graph, ElementType type, (string Name, int Index, double Delta)? change)
    {
        var inputs = new TensorData?[node.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++)
        {
            if (node.Inputs[i].Length == 0) continue;
            TensorData data = graph.Weights[node.Inputs[i]].Read();
            if (type == ElementType.Float64 && data.ElementType == ElementType.Float32 && node.OpType != "Resize" || type == ElementType.Float64 && i == 0)
            {
                double[] wide = System.Array.ConvertAll(data.ToSingles(), v => (double)v);
                if (change is { } c && c.Name == node.Inputs[i]) wide[c.Index] += c.Delta;
                data = TensorData.Wrap(wide, data.Shape);
            }
            inputs[i] = data;
        }
        Operator op = OperatorRegistry.Find(node.OpType, node.Domain) ?? throw new InvalidOperationException($"{node.OpType} has no plain definition");
        if (type != ElementType.Float64 || node.OpType is "Cast" or "CastLike") return type == ElementType.Float64 ? null : op.Evaluate(new EvaluationContext(node, inputs));
        TensorData?[] outputs;
        try
        {
            outputs = op.Evaluate(new EvaluationContext(node, inputs));
        }
        catch (Exception e) when (e is Sparseland.Model.GraphException or InvalidOperationException or NotSupportedException)
        {
            return null;
        }
        return outputs.All(o => o is null || o.ElementType == ElementType.Float64) ? outputs : null;
    }

    private static (ModelGraph Graph, TrainableModel Model) Build(OperatorCase c)
    {
        var graph = new ModelGraph(c.Name);
        var random = new Random(c.Name.Length + 17);
        var names = new List<string>();
        for (int i = 0; i < c.Inputs.Length; i++)
        {
            CaseInput input = c.Inputs[i];
            if (input.Value is null && input.Constant is null)
            {
                names.Add("");
                continue;
            }
            string name = (input.Value is null ? "c" : "p") + i;
            names.Add(name);
            TensorData data = input.Constant ?? TensorData.Zeros(ElementType.Float32, input.Shape);
            if (input.Value is not null)
            {
                Span<float> values = data.Span<float>();
                for (int k = 0; k < values.Length; k++) values[k] = input.Value(random, k);
            }
            graph.AddWeight(new Weight(name, data));
        }
        var node = new Node("node", c.OpType, names, Enumerable.Range(0, c.Outputs).Select(o => $"y{o}"));
        c.Attributes?.Invoke(node.Attributes);
        graph.Nodes.Add(node);
        for (int o = 0; o < c.Outputs; o++) graph.Outputs.Add(new GraphValue($"y{o}", new TensorType(ElementType.Float32, null)));
        var options = new TrainableModelOptions { IsTrained = w => w.Name.StartsWith('p'), Seed = 5 };
        return (graph, new TrainableModel(graph, options) { FreezesBatchStatistics = node.Attributes.Int("training_mode", 0) == 0 });
    }
}
