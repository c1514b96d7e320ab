using System.Collections;

namespace Sparseland.Model.Graph;

/// <summary>One dimension of a shape: a number, a named unknown such as <c>batch</c>, or an unnamed unknown.</summary>
/// <param name="Value">The size, or -1 when unknown.</param>
/// <param name="Symbol">The name of an unknown size; null when known or unnamed.</param>
public readonly record struct Dimension(int Value, string? Symbol = null)
{
    /// <summary>A size that nothing is known about.</summary>
    public static Dimension Unknown { get; } = new(-1);

    /// <summary>Whether the size is a number.</summary>
    public bool IsKnown => Value >= 0;

    /// <summary>A named unknown.</summary>
    public static Dimension Named(string symbol) => new(-1, symbol);

    /// <summary>A known size.</summary>
    public static implicit operator Dimension(int value) => value >= 0 ? new(value) : Unknown;

    /// <inheritdoc/>
    public override string ToString() => IsKnown ? Value.ToString(System.Globalization.CultureInfo.InvariantCulture) : Symbol ?? "?";
}

/// <summary>The dimensions of a value, outermost first; some may be unknown. Immutable.</summary>
public sealed class TensorShape : IReadOnlyList<Dimension>, IEquatable<TensorShape>
{
    private readonly Dimension[] _dimensions;

    /// <summary>A shape of these dimensions.</summary>
    public TensorShape(params ReadOnlySpan<Dimension> dimensions) => _dimensions = dimensions.ToArray();

    /// <summary>The shape of a scalar: no dimensions.</summary>
    public static TensorShape Scalar { get; } = new();

    /// <summary>Number of dimensions.</summary>
    public int Rank => _dimensions.Length;

    /// <summary>Whether every dimension is a number.</summary>
    public bool IsStatic => Array.TrueForAll(_dimensions, d => d.IsKnown);

    int IReadOnlyCollection<Dimension>.Count => Rank;

    /// <summary>Dimension <paramref name="axis"/>, 0 outermost.</summary>
    public Dimension this[int axis] => _dimensions[axis];

    /// <summary>A shape of known sizes (negative = unknown).</summary>
    public static TensorShape Of(ReadOnlySpan<int> sizes)
    {
        var dimensions = new Dimension[sizes.Length];
        for (int i = 0; i < sizes.Length; i++) dimensions[i] = sizes[i];
        return new TensorShape(dimensions);
    }

    /// <summary>The sizes.</summary>
    /// <exception cref="InvalidOperationException">A dimension is unknown.</exception>
    public int[] ToSizes() => IsStatic
        ? Array.ConvertAll(_dimensions, d => d.Value)
        : throw new InvalidOperationException($"Shape {this} has unknown dimensions.");

    /// <summary>A copy with one dimension replaced.</summary>
    public TensorShape With(int axis, Dimension dimension)
    {
        var copy = (Dimension[])_dimensions.Clone();
        copy[axis] = dimension;
        return new TensorShape(copy);
    }

    /// <inheritdoc/>
    public IEnumerator<Dimension> GetEnumerator() => ((IEnumerable<Dimension>)_dimensions).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    public bool Equals(TensorShape? other) => other is not null && _dimensions.AsSpan().SequenceEqual(other._dimensions);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as TensorShape);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (Dimension d in _dimensions) hash.Add(d);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", _dimensions)}]";
}

/// <summary>What is known about a value before it is computed.</summary>
/// <param name="ElementType">The element type.</param>
/// <param name="Shape">The shape, or null when even the rank is unknown.</param>
public sealed record TensorType(ElementType ElementType, TensorShape? Shape)
{
    /// <inheritdoc/>
    public override string ToString() => $"{ElementType}{Shape?.ToString() ?? "[..]"}";
}
