namespace Sparseland.Training.Autograd;

/// <summary>A differentiable function of your own: say how to compute it and how its gradient flows.</summary>
/// <remarks>One instance serves one call of <see cref="Apply"/>: keep in fields what the gradient needs.</remarks>
/// <example>
/// <code>
/// sealed class StraightThroughSign : CustomFunction
/// {
///     protected override Tensor Forward(Tensor[] inputs) => inputs[0].Sign();
///     protected override Tensor?[] Backward(Tensor gradient) => [gradient];
/// }
/// Tensor y = new StraightThroughSign().Apply(x);
/// </code>
/// </example>
public abstract class CustomFunction
{
    private bool _applied;

    /// <summary>Computes the function; nothing in here is recorded.</summary>
    protected abstract Tensor Forward(Tensor[] inputs);

    /// <summary>The gradient of every input (null = none) from the gradient of the output; do not write into <paramref name="gradient"/>.</summary>
    protected abstract Tensor?[] Backward(Tensor gradient);

    /// <summary>Computes the function and records it.</summary>
    /// <exception cref="InvalidOperationException">The instance was applied before.</exception>
    /// <exception cref="ArgumentException">While differentiating: a gradient is missing or has another shape than its input.</exception>
    public Tensor Apply(params Tensor[] inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        if (_applied) throw new InvalidOperationException($"{GetType().Name} was applied before; make a new one for every call.");
        _applied = true;
        Tensor output;
        using (GradientMode.Off()) output = Forward(inputs);
        // A function may return one of its inputs: history must not be written onto that.
        if (System.Array.Exists(inputs, i => ReferenceEquals(i, output))) output = output.Detach();
        int[][] shapes = System.Array.ConvertAll(inputs, i => i.ShapeArray);
        string name = GetType().Name;
        // Whatever the function keeps in its fields is in a user's hands; holding the inputs as saved guards views of them.
        return Tape.Record(name, output, inputs, [.. inputs, output], flow =>
        {
            Tensor incoming = flow.Output();
            incoming.Storage.Retain();
            Tensor?[] gradients = Backward(new Tensor(incoming.Storage, incoming.ShapeArray));
            if (gradients.Length != shapes.Length) throw new ArgumentException($"{name}.Backward returned {gradients.Length} gradients for {shapes.Length} inputs.");
            for (int i = 0; i < gradients.Length; i++)
            {
                if (gradients[i] is not { } gradient) continue;
                if (!gradient.Shape.SequenceEqual(shapes[i])) throw new ArgumentException($"{name}.Backward returned a gradient of {gradient} for an input of [{string.Join(", ", shapes[i])}].");
                gradient.Storage.Retain();
                flow.Give(i, new Tensor(gradient.Storage, gradient.ShapeArray));
            }
        });
    }
}
