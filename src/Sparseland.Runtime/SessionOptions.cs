using Sparseland.Kernels.Sparse;

namespace Sparseland.Runtime;

/// <summary>How a session plans its work.</summary>
public sealed record SessionOptions
{
    private readonly BreakEvenTable? _breakEven;

    /// <summary>The defaults.</summary>
    public static SessionOptions Default { get; } = new();

    /// <summary>Uses dense kernels for every weight: the dense twin of the same model on the same engine.</summary>
    public bool ForceDense { get; init; }

    /// <summary>Folds batch norms and fuses biases, residuals and activations.</summary>
    public bool Fuse { get; init; } = true;

    /// <summary>At which densities sparse kernels are chosen; where it is not given, <see cref="BreakEvenTable.ForThisMachine()"/> at the time when a session is made. Some layers are timed beside it, see <see cref="AutoTune"/>.</summary>
    public BreakEvenTable BreakEven
    {
        get => _breakEven ?? BreakEvenTable.ForThisMachine();
        init => _breakEven = value;
    }

    /// <summary>Times the candidates of every sparse layer when a plan is made (tens of milliseconds a layer; all of them are prepared) and keeps the fastest, instead of trusting the table.</summary>
    /// <remarks>
    /// Without it, convolutions that no rule foretells are timed all the same: those of several groups (depthwise ones aside) and of blocks with strides, where the table expects the sparse kernel to take between a fifth and five times the time of the
    /// dense one, and those of batches of images whose result has up to 16 pixels, between a third and three times. They are timed once in a session, with the first such input shape; the choice is kept for all others that the table does not decide. What a clock decides may be decided otherwise by the next
    /// session, and for other shapes with this option: kernels do not all sum in the same order, so results may differ in their last bits from session to session (and where values are not finite, see <see cref="InferenceSession"/>). <see cref="ForceDense"/> times nothing.
    /// </remarks>
    public bool AutoTune { get; init; }

    /// <summary>
    /// Holds the weights of linear layers in this type: fewer bytes a token. Integers are rounded, weights and inputs; null holds them as the model's file does.
    /// </summary>
    public ValueKind? Values { get; init; }

    /// <summary>Input shapes whose plans are kept; the oldest is dropped beyond that. At least 1.</summary>
    public int CachedPlans { get; init; } = 8;
}
