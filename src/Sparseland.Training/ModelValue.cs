using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training;

/// <summary>A value that flows through a model: a tensor that may carry gradients, or plain data of any element type.</summary>
public readonly struct ModelValue
{
    private readonly Tensor? _tensor;
    private readonly TensorData? _data;

    /// <summary>A value with gradients.</summary>
    public ModelValue(Tensor tensor) => _tensor = tensor ?? throw new ArgumentNullException(nameof(tensor));

    /// <summary>Plain data: indices, conditions, shapes, strings, or numbers without gradients.</summary>
    public ModelValue(TensorData data) => _data = data ?? throw new ArgumentNullException(nameof(data));

    /// <summary>Whether there is no value.</summary>
    public bool IsEmpty => _tensor is null && _data is null;

    /// <summary>Whether the value is an f32 <see cref="Autograd.Tensor"/>.</summary>
    public bool IsTensor => _tensor is not null;

    /// <summary>The element type.</summary>
    public ElementType ElementType => _tensor is not null ? ElementType.Float32 : _data?.ElementType ?? ElementType.Undefined;

    /// <summary>The dimensions.</summary>
    public ReadOnlySpan<int> Shape => _tensor is not null ? _tensor.Shape : _data is not null ? _data.Shape : default;

    /// <summary>The value as a tensor; numbers of other types are converted.</summary>
    /// <exception cref="InvalidOperationException">There is no value, or it holds strings.</exception>
    public Tensor Tensor => _tensor ?? Tensor.From(_data ?? throw new InvalidOperationException("There is no value."));

    /// <summary>The value as plain data; a tensor is copied.</summary>
    /// <exception cref="InvalidOperationException">There is no value.</exception>
    public TensorData Data => _data ?? _tensor?.ToTensorData() ?? throw new InvalidOperationException("There is no value.");

    /// <summary>Wraps a tensor.</summary>
    public static implicit operator ModelValue(Tensor tensor) => new(tensor);

    /// <summary>Wraps plain data.</summary>
    public static implicit operator ModelValue(TensorData data) => new(data);

    /// <inheritdoc/>
    public override string ToString() => _tensor is not null ? $"Float32{_tensor}" : _data?.ToString() ?? "(none)";
}
