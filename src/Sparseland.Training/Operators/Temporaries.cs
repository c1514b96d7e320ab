using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Gives the intermediate values of a composed operator back to the pool when it is done.</summary>
internal sealed class Temporaries : IDisposable
{
    private readonly List<Tensor> _tensors = [];

    /// <summary>Takes over the holder of a value that does not leave the operator.</summary>
    public Tensor Own(Tensor tensor)
    {
        _tensors.Add(tensor);
        return tensor;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors) tensor.Storage.Release();
        _tensors.Clear();
    }
}
