namespace Sparseland.Training.Autograd;

/// <summary>A gradient that is zero but for the values that an operation has read. It is kept as these until another gradient of the same value arrives, which they are added to in place, or none is left to come.</summary>
/// <remarks>The shortcuts of a ResNet read a quarter of an activation: a tensor of zeros around it, written, read and added to the other branch's, was three passes over memory.</remarks>
/// <param name="values">What was read; one holder is handed over.</param>
/// <param name="shape">The shape of the whole.</param>
/// <param name="add">Adds values to their places in the whole.</param>
internal sealed class SelectedGradient(Tensor values, int[] shape, Action<float[], float[]> add)
{
    /// <summary>The sum with a gradient that is handed over, in place where possible; null for zeros.</summary>
    public Tensor AddTo(Tensor? other)
    {
        Tensor target = other is null ? Tensor.Zeros(shape) : other.Storage.IsUnique ? other : other.Clone();
        if (other is not null && !ReferenceEquals(target, other)) other.Storage.Release();
        add(values.Array, target.Array);
        Drop();
        return target;
    }

    /// <summary>Lets go of the values.</summary>
    public void Drop() => values.Storage.Release();
}
