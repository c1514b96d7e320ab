using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Probing;

/// <summary>A copy of a network in which every ReLU multiplies by what one forward pass let through: smooth in its weights, with the same gradients at that point.</summary>
/// <remarks>
/// Double backpropagation holds the pattern of a ReLU fixed, because its second derivative is 0 almost everywhere. Differences of gradients do not: a step that switches one unit on
/// adds a jump that can exceed everything else. On this copy differences see what double backpropagation sees. Max-pooling keeps its kinks.
/// </remarks>
internal sealed class FixedPattern
{
    private FixedPattern(TrainableModel model, PruningContext context)
    {
        Model = model;
        Context = context;
    }

    /// <summary>The copy; its parameters have the names and present values of the original's.</summary>
    public TrainableModel Model { get; }

    /// <summary>The original's context with a feed that adds the patterns; for the batch that the pattern is of.</summary>
    public PruningContext Context { get; }

    /// <summary>Makes the copy at the present values, with the pattern of a batch in training mode.</summary>
    public static FixedPattern Of(NetworkProbe probe, Batch batch)
    {
        TrainableModel original = probe.Model;
        ModelGraph graph = original.Graph.Clone();
        var patterns = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        var observers = new List<IDisposable>();
        foreach (Node node in graph.Nodes.Where(n => n.OpType == "Relu" && n.Domain.Length == 0))
        {
            string output = node.Output(0), name = "pattern/" + output;
            observers.Add(original.Observe(output, v => patterns[name] = Tensor.From([.. v.Tensor.Values.ToArray().Select(x => x > 0 ? 1f : 0f)], v.Tensor.Shape)));
            node.OpType = "Mul";
            node.Inputs.Add(name);
            graph.Inputs.Add(new GraphValue(name, new TensorType(ElementType.Float32, null)));
        }
        try
        {
            original.IsTraining = true;
            using (GradientMode.Off()) probe.Forward(batch);
        }
        finally
        {
            foreach (IDisposable observer in observers) observer.Dispose();
        }
        foreach (Weight weight in graph.Weights.Values) weight.SetMask(null);
        var model = new TrainableModel(graph, original.Options);
        foreach (Parameter p in model.Parameters)
        {
            original.Parameter(p.Name).Value.Values.CopyTo(p.Value.Values);
            p.TouchValues();
        }
        foreach (ModelBuffer b in model.Buffers) original.Buffers.First(o => o.Name == b.Name).Value.Values.CopyTo(b.Value.Values);
        Func<Batch, IReadOnlyDictionary<string, ModelValue>> feed = probe.Context.Feed ?? (one => new Dictionary<string, ModelValue> { [original.Graph.Inputs[0].Name] = new ModelValue(one.Inputs) });
        return new FixedPattern(model, probe.Context with
        {
            Feed = one =>
            {
                var all = new Dictionary<string, ModelValue>(feed(one), StringComparer.Ordinal);
                foreach ((string name, Tensor pattern) in patterns) all[name] = new ModelValue(pattern);
                return all;
            },
        });
    }
}
