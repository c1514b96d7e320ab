namespace Sparseland.Model.Operators.Coupling;

/// <summary>An input or output of the node at hand.</summary>
/// <param name="IsOutput">Whether it is an output.</param>
/// <param name="Index">Its position among the node's inputs or outputs.</param>
public readonly record struct Port(bool IsOutput, int Index)
{
    /// <summary>Input <paramref name="index"/>.</summary>
    public static Port In(int index) => new(false, index);

    /// <summary>Output <paramref name="index"/>.</summary>
    public static Port Out(int index = 0) => new(true, index);

    /// <inheritdoc/>
    public override string ToString() => (IsOutput ? "output " : "input ") + Index;
}
