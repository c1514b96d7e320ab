using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;
using Sparseland.Training.Execution;

namespace Sparseland.Training;

/// <summary>Executes a graph with gradients: the weights that are learned become <see cref="Parameters"/>, running statistics <see cref="Buffers"/>.</summary>
/// <remarks>
/// The graph's structure must not change while the model lives. Values are copied out of the graph at the start and written
/// back by <see cref="SyncToGraph"/>. In evaluation mode nothing is recorded and every intermediate value is given up as
/// soon as nobody needs it. Not for use by several threads at once.
/// </remarks>
public sealed class TrainableModel
{
    private readonly Dictionary<string, Parameter> _byName = new(StringComparer.Ordinal);
    private readonly GraphExecutor _executor;

    /// <summary>Prepares a graph for training.</summary>
    /// <exception cref="UnsupportedOperatorException">A node's operator is not known.</exception>
    /// <exception cref="GraphException">A node reads a value that does not exist before it.</exception>
    public TrainableModel(ModelGraph graph, TrainableModelOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        Graph = graph;
        Options = options ?? new TrainableModelOptions();
        Dictionary<string, List<Node>> consumers = graph.Consumers();
        HashSet<string> buffers = WeightRoles.Buffers(graph);
        Dictionary<string, ParameterKind> roles = WeightRoles.Parameters(graph, consumers, buffers);
        var parameters = new List<Parameter>();
        var statistics = new List<ModelBuffer>();
        foreach (Weight weight in graph.Weights.Values)
        {
            if (buffers.Contains(weight.Name))
            {
                statistics.Add(new ModelBuffer(weight.Name, Copy(weight)));
                continue;
            }
            bool learned = roles.TryGetValue(weight.Name, out ParameterKind kind);
            bool? decided = weight.ElementType == ElementType.Float32 ? Options.IsTrained?.Invoke(weight) : false;
            if (!(decided ?? learned)) continue;
            parameters.Add(new Parameter(weight.Name, learned ? kind : ParameterKind.Other, Copy(weight), weight.Mask));
        }
        Parameters = parameters;
        Buffers = statistics;
        foreach (Parameter p in parameters) _byName[p.Name] = p;
        _executor = new GraphExecutor(this, consumers);
    }

    /// <summary>Raised by <see cref="SetMask"/> with the parameter, the mask before and the mask after.</summary>
    public event Action<Parameter, Mask?, Mask?>? MaskChanged;

    /// <summary>The graph that is executed.</summary>
    public ModelGraph Graph { get; }

    /// <summary>How it is trained.</summary>
    public TrainableModelOptions Options { get; }

    /// <summary>The weights that are trained, in the graph's order.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Running statistics, in the graph's order.</summary>
    public IReadOnlyList<ModelBuffer> Buffers { get; }

    /// <summary>Training mode: batch statistics, dropout, and recording of gradients. True at first.</summary>
    public bool IsTraining { get; set; } = true;

    /// <summary>Whether batch normalisations use and keep their running statistics while training (fine-tuning on little data); false at first.</summary>
    public bool FreezesBatchStatistics { get; set; }

    /// <summary>Whether gradients are recorded in evaluation mode too (criteria that look at the network as it will be used); false at first.</summary>
    public bool RecordsInEvaluation { get; set; }

    /// <summary>Number of forward passes in training mode so far; with the seed it fixes what dropout drops. Part of a checkpoint.</summary>
    public long TrainingPasses { get; set; }

    /// <summary>A parameter by its weight's name.</summary>
    /// <exception cref="KeyNotFoundException">No parameter has that name.</exception>
    public Parameter Parameter(string name) => _byName.TryGetValue(name, out Parameter? p)
        ? p
        : throw new KeyNotFoundException($"The model has no parameter '{name}'.");

    /// <summary>The parameter of that name, or null.</summary>
    public Parameter? FindParameter(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Feeds the only input and returns the first output.</summary>
    /// <exception cref="ArgumentException">The graph has several inputs.</exception>
    public Tensor Forward(ModelValue input)
    {
        if (Graph.Inputs.Count != 1) throw new ArgumentException($"The graph has {Graph.Inputs.Count} inputs ({string.Join(", ", Graph.Inputs.Select(i => i.Name))}); feed them by name.", nameof(input));
        return Forward(new Dictionary<string, ModelValue> { [Graph.Inputs[0].Name] = input })[Graph.Outputs[0].Name].Tensor;
    }

    /// <summary>Feeds all inputs by name and returns all outputs by name.</summary>
    /// <exception cref="ArgumentException">An input is missing or unknown.</exception>
    /// <exception cref="GraphException">A node cannot compute with what it is given; the message names it.</exception>
    public IReadOnlyDictionary<string, ModelValue> Forward(IReadOnlyDictionary<string, ModelValue> inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        return _executor.Run(inputs);
    }

    /// <summary>Calls <paramref name="observer"/> with a value of the graph in every forward pass, until the result is disposed.</summary>
    /// <param name="value">Name of a node's output or a graph input.</param>
    /// <param name="observer">Receives the value; keep a copy of what you want to change.</param>
    /// <exception cref="ArgumentException">No value has that name.</exception>
    public IDisposable Observe(string value, Action<ModelValue> observer) => _executor.Observe(value, observer);

    /// <summary>Sets, replaces or (null) drops a parameter's mask. Removed values become zero at once; values that come back start at zero.</summary>
    /// <exception cref="ArgumentException">The mask's shape is not the parameter's.</exception>
    public void SetMask(Parameter parameter, Mask? mask)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        Mask? before = parameter.Mask;
        parameter.ReplaceMask(mask);
        MaskChanged?.Invoke(parameter, before, mask);
    }

    /// <summary>Forgets all gradients.</summary>
    public void ZeroGrad()
    {
        foreach (Parameter p in Parameters) p.Value.ZeroGrad();
    }

    /// <summary>Writes values, masks and running statistics back into the graph.</summary>
    /// <param name="allowDenser">Whether a weight may have more entries than its mask in the graph keeps (R16 says no).</param>
    /// <exception cref="SparselandException">SL3011: a weight would become denser; nothing was written.</exception>
    public void SyncToGraph(bool allowDenser = false)
    {
        if (!allowDenser)
        {
            foreach (Parameter p in Parameters)
            {
                int? allowed = Graph.Weights[p.Name].Mask?.KeptCount, kept = p.Mask?.KeptCount ?? p.Value.Length;
                if (kept > allowed)
                {
                    throw new SparselandException("SL3011", $"weight '{p.Name}' would become denser: {kept} entries, its mask keeps {allowed}")
                    {
                        Try = "keep the mask while training, or allow denser weights explicitly",
                    };
                }
            }
        }
        foreach (Parameter p in Parameters)
        {
            Weight weight = Graph.Weights[p.Name];
            if (weight.Mask is not null && !weight.Mask.Equals(p.Mask)) weight.SetMask(null);
            weight.Set(p.Value.ToTensorData());
            if (p.Mask is not null && weight.Mask is null) weight.SetMask(p.Mask);
        }
        foreach (ModelBuffer b in Buffers) Graph.Weights[b.Name].Set(b.Value.ToTensorData());
    }

    private static Tensor Copy(Weight weight)
    {
        TensorData data = weight.Read();
        return Tensor.From(data.Span<float>(), data.Shape);
    }
}
