using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>What a differentiable operator sees of the node it computes.</summary>
internal sealed class OperatorContext(Node node, ModelValue[] inputs, Parameter?[] parameters, ModelBuffer?[] buffers, bool[] dying)
{
    public Node Node { get; } = node;

    public ModelValue[] Inputs { get; } = inputs;

    /// <summary>Whether the model is in training mode.</summary>
    public bool IsTraining { get; init; }

    /// <summary>Whether batch normalisations keep their running statistics.</summary>
    public bool FreezesBatchStatistics { get; init; }

    /// <summary>Seed for what is random in this node in this forward pass.</summary>
    public ulong Seed { get; init; }

    public TrainableModelOptions Options { get; init; } = new();

    /// <summary>What is to be computed here of what follows (set only for operators that can).</summary>
    public Following Following { get; init; }

    public NodeAttributes Attributes => Node.Attributes;

    public bool Has(int index) => index < Inputs.Length && !Inputs[index].IsEmpty;

    /// <summary>Whether an output is asked for.</summary>
    public bool WantsOutput(int index) => Node.Output(index).Length > 0;

    /// <summary>Whether every one of these inputs that is present holds singles.</summary>
    public bool AreFloat32(params ReadOnlySpan<int> indices)
    {
        foreach (int index in indices)
        {
            if (Has(index) && Inputs[index].ElementType != ElementType.Float32) return false;
        }
        return true;
    }

    /// <summary>A required f32 input.</summary>
    public Tensor Tensor(int index) => Has(index) ? Inputs[index].Tensor : throw Error($"input {index} is missing");

    public Tensor? TensorOrNull(int index) => Has(index) ? Inputs[index].Tensor : null;

    /// <summary>An integer input of any width, or null when it is left out.</summary>
    public long[]? Integers(int index) => Has(index) ? Inputs[index].Data.ToInt64s() : null;

    /// <summary>The parameter that is directly input <paramref name="index"/>, or null.</summary>
    public Parameter? Parameter(int index) => index < parameters.Length ? parameters[index] : null;

    /// <summary>The buffer that is directly input <paramref name="index"/>, or null.</summary>
    public ModelBuffer? Buffer(int index) => index < buffers.Length ? buffers[index] : null;

    /// <summary>Whether nobody needs input <paramref name="index"/> after this node, so that the result may take its memory.</summary>
    public bool MayOverwrite(int index) => index < dying.Length && dying[index] && Inputs[index].IsTensor && Inputs[index].Tensor.Storage.IsUnique;

    public GraphException Error(string message) => new("SL2003", $"{Node.OpType} node '{Node.Name}': {message}")
    {
        Where = $"node '{Node.Name}' ({Node.OpType}), inputs: {string.Join("; ", Inputs.Select(i => i.ToString()))}",
    };
}
