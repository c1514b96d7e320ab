using Sparseland.Training.Autograd;

namespace Sparseland.Training;

/// <summary>A weight that training changes without gradients: the running statistics of a batch normalisation.</summary>
public sealed class ModelBuffer
{
    internal ModelBuffer(string name, Tensor value)
    {
        Name = name;
        Value = value;
    }

    /// <summary>The weight's name in the graph.</summary>
    public string Name { get; }

    /// <summary>The values.</summary>
    public Tensor Value { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Value}";
}
