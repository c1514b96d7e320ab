using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Model.Operators;

/// <summary>The meaning of one ONNX operator (opset 23): output types and shapes, and values.</summary>
/// <remarks>
/// One file per operator or tight family; instances are stateless and listed in <see cref="OperatorRegistry"/>.
/// <see cref="Evaluate"/> is the plain definition over <see cref="TensorData"/>: constant folding uses it, and both
/// executors fall back to it wherever speed or gradients do not matter. Arithmetic of weight calls the kernels.
/// </remarks>
public abstract partial class Operator
{
    /// <summary>States the operator's name and arity.</summary>
    /// <param name="opType">The operator's ONNX name.</param>
    /// <param name="domain">The operator's domain; empty for the ONNX standard.</param>
    /// <param name="minInputs">Leading inputs that must be listed (0 or more).</param>
    /// <param name="maxInputs">Inputs that may be listed; negative = as many as <paramref name="minInputs"/>.</param>
    /// <param name="maxOutputs">Outputs that may be listed; negative = any number.</param>
    protected Operator(string opType, string domain = "", int minInputs = 1, int maxInputs = -1, int maxOutputs = 1)
    {
        OpType = opType;
        Domain = domain;
        MinInputs = minInputs;
        MaxInputs = maxInputs < 0 ? minInputs : maxInputs;
        MaxOutputs = maxOutputs < 0 ? int.MaxValue : maxOutputs;
    }

    /// <summary>The operator's ONNX name.</summary>
    public string OpType { get; }

    /// <summary>The operator's domain; empty for the ONNX standard.</summary>
    public string Domain { get; }

    /// <summary>The least number of inputs that a node lists.</summary>
    public int MinInputs { get; }

    /// <summary>The largest number of inputs that a node lists.</summary>
    public int MaxInputs { get; }

    /// <summary>The largest number of outputs that a node lists.</summary>
    public int MaxOutputs { get; }

    /// <summary>Whether the outputs follow from the inputs alone, so that a node over constants may be folded.</summary>
    public virtual bool IsDeterministic => true;

    /// <summary>Sets the type of every output from the types (and, where known, the values) of the inputs.</summary>
    /// <exception cref="GraphException">The inputs break the operator's rules; the message names node, input and shapes.</exception>
    public abstract void Infer(InferenceContext context);

    /// <summary>Computes the outputs. Entries for omitted optional outputs may be null.</summary>
    /// <remarks>Thread-safe. An output may share memory with an input (Reshape, Identity), so neither may be written to.</remarks>
    /// <exception cref="GraphException">The inputs break the operator's rules.</exception>
    public abstract TensorData?[] Evaluate(EvaluationContext context);

    /// <summary>Says how the axes of inputs and outputs hang together when entries are to be removed.</summary>
    /// <remarks>An operator that does not override this freezes every axis that it touches (docs/adr/0003).</remarks>
    public virtual void Couple(AxisCoupling coupling) =>
        coupling.FreezeAll(RefusalReason.UnknownOperator, $"{OpType} does not say how its axes are coupled");

    /// <summary>Brings attributes and constant inputs up to date after entries of axes were removed.</summary>
    public virtual void AfterRemoval(RemovalContext removal)
    {
    }
}

/// <summary>What an operator sees while types are inferred.</summary>
public abstract class InferenceContext
{
    /// <summary>The node.</summary>
    public abstract Node Node { get; }

    /// <summary>What is known about input <paramref name="index"/>; null when it is left out or nothing is known.</summary>
    public abstract TensorType? InputType(int index);

    /// <summary>The value of input <paramref name="index"/> when it is a constant (weight or folded); null otherwise.</summary>
    public abstract TensorData? InputValue(int index);

    /// <summary>The shape that a shape-like integer input stands for, with unknown entries where they are unknown; null when even its length is unknown.</summary>
    public abstract TensorShape? InputAsShape(int index);

    /// <summary>Sets the type of output <paramref name="index"/>.</summary>
    public abstract void SetOutput(int index, ElementType type, TensorShape? shape);

    /// <summary>Sets what a shape-like integer output stands for, so that reshapes behind it can be inferred.</summary>
    public abstract void SetOutputAsShape(int index, TensorShape shape);

    /// <summary>Infers a graph that is an attribute of the node; it sees the values around the node by name.</summary>
    /// <param name="body">The graph.</param>
    /// <param name="inputTypes">What is known about the graph's inputs, in order; null entries fall back to what the graph declares.</param>
    /// <returns>What is known about the graph's outputs, in order.</returns>
    public abstract TensorType?[] InferSubgraph(ModelGraph body, IReadOnlyList<TensorType?> inputTypes);

    /// <summary>An error that names the node, its inputs and their types.</summary>
    public GraphException Error(string message)
    {
        var inputs = Node.Inputs.Select((name, i) => name.Length == 0 ? "(none)" : $"{name} {InputType(i)?.ToString() ?? "unknown"}");
        return new GraphException("SL2003", $"{Node.OpType} node '{Node.Name}': {message}")
        {
            Where = $"node '{Node.Name}' ({Node.OpType}), inputs: {string.Join("; ", inputs)}",
        };
    }
}

/// <summary>What an operator sees while it is evaluated.</summary>
/// <param name="node">The node.</param>
/// <param name="inputs">One entry per input; null where it is left out.</param>
public sealed class EvaluationContext(Node node, IReadOnlyList<TensorData?> inputs)
{
    /// <summary>The node.</summary>
    public Node Node { get; } = node;

    /// <summary>The inputs; null where one is left out.</summary>
    public IReadOnlyList<TensorData?> Inputs { get; } = inputs;

    /// <summary>Source of randomness for operators that need one (Dropout in training, RandomNormal ...).</summary>
    public Random Random { get; init; } = new(0);

    /// <summary>Finds a value around the node by name, for nodes with graphs in their attributes; null when there is none.</summary>
    public Func<string, TensorData?> Outer { get; init; } = _ => null;

    /// <summary>Stops loops of long-running bodies.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>Runs a graph that is an attribute of the node.</summary>
    /// <param name="body">The graph; it sees the values around the node through <see cref="Outer"/>.</param>
    /// <param name="inputs">One value per graph input, in order.</param>
    /// <returns>The graph's outputs, in order.</returns>
    public TensorData[] RunSubgraph(ModelGraph body, IReadOnlyList<TensorData> inputs) =>
        GraphEvaluator.RunBody(body, inputs, Outer, Random, Cancellation);

    /// <summary>Whether input <paramref name="index"/> is present.</summary>
    public bool Has(int index) => index < Inputs.Count && Inputs[index] is not null;

    /// <summary>A required input.</summary>
    /// <exception cref="GraphException">It is left out.</exception>
    public TensorData Input(int index) => index < Inputs.Count && Inputs[index] is { } value
        ? value
        : throw Error($"input {index} is missing");

    /// <summary>An error that names the node and the shapes of its inputs.</summary>
    public GraphException Error(string message) => new("SL2003", $"{Node.OpType} node '{Node.Name}': {message}")
    {
        Where = $"node '{Node.Name}' ({Node.OpType}), inputs: {string.Join("; ", Inputs.Select(i => i?.ToString() ?? "(none)"))}",
    };
}
