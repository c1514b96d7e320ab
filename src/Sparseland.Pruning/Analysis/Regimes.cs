namespace Sparseland.Pruning.Analysis;

/// <summary>In which of the three regimes a pruned network was retrained.</summary>
public enum Regime
{
    /// <summary>Retrained copies are separated by a barrier.</summary>
    One,

    /// <summary>Copies are connected but their outputs differ.</summary>
    TwoA,

    /// <summary>Copies are connected and their outputs agree: the best regime.</summary>
    TwoB,
}

/// <summary>Tells from connectivity and similarity of retrained copies how the dense training should have been.</summary>
/// <remarks>
/// Zhou, Yang, Chang and Mahoney, "A Three-regime Model of Network Pruning", ICML 2023, figure 1 and section 3. The paper gives no thresholds as constants: -0.01 for connectivity
/// (error as a share) and 0.9 for similarity are this toolkit's choice, and parameters.
/// </remarks>
public static class Regimes
{
    /// <summary>Connected when LMC is above this.</summary>
    public const double ConnectedAbove = -0.01;

    /// <summary>Similar when CKA is at least this.</summary>
    public const double SimilarFrom = 0.9;

    /// <summary>The regime of a pair of measures.</summary>
    /// <param name="lmc">Linear mode connectivity between retrained copies, as a share of error.</param>
    /// <param name="cka">Linear CKA of their softmax outputs.</param>
    /// <param name="connectedAbove">Connected when LMC is above this.</param>
    /// <param name="similarFrom">Similar when CKA is at least this.</param>
    public static Regime Classify(double lmc, double cka, double connectedAbove = ConnectedAbove, double similarFrom = SimilarFrom) =>
        !(lmc > connectedAbove) ? Regime.One : cka >= similarFrom ? Regime.TwoB : Regime.TwoA;

    /// <summary>What to do about the dense training before pruning to this density.</summary>
    public static string Advice(Regime regime) => regime switch
    {
        Regime.One => "train the dense network hotter: stop it earlier, or use smaller batches",
        Regime.TwoA => "train the dense network colder: longer, or with larger batches",
        _ => "keep the dense training as it is",
    };

    /// <summary>The regime's name as the paper writes it.</summary>
    public static string Name(Regime regime) => regime switch { Regime.One => "I", Regime.TwoA => "II-A", _ => "II-B" };
}
