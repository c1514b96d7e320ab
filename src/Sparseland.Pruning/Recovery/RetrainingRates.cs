using Sparseland.Training.LearningRates;

namespace Sparseland.Pruning.Recovery;

/// <summary>Learning rates for retraining after pruning, derived from the original training's curve.</summary>
/// <remarks>
/// Renda, Frankle and Carbin, "Comparing Rewinding and Fine-tuning in Neural Network Pruning", ICLR 2020 (FT, LRW); Le and Hua, "Network Pruning That Matters", ICLR 2021 (SLR, CLR); Zimmer, Spiegel and
/// Pokutta, "How I Learned to Stop Worrying and Love Retraining", ICLR 2023 (LLR, ALLR), in the form of the Sparse Model Soups code. SLR, CLR, LLR and ALLR rise from 0 along half a cosine over the first
/// floor(0.1 n) steps and run their curve over the others; FT and LRW have no warm-up.
/// </remarks>
public static class RetrainingRates
{
    /// <summary>Names: ft, lrw, slr, clr, llr, allr.</summary>
    public static IReadOnlyList<string> Ids { get; } = ["ft", "lrw", "slr", "clr", "llr", "allr"];

    /// <summary>The curve of that name.</summary>
    /// <param name="id">One of <see cref="Ids"/>.</param>
    /// <param name="original">The original training's curve.</param>
    /// <param name="originalSteps">Its steps.</param>
    /// <param name="steps">Steps of the retraining.</param>
    /// <param name="removedNorm">||theta_before - theta_after|| over all weights and biases, as (||before||^2 - ||after||^2)^(1/2); ALLR only.</param>
    /// <param name="norm">||theta_before||; ALLR only.</param>
    /// <param name="removedShare">Share of the weights removed in this round, above 0; ALLR only.</param>
    /// <exception cref="ArgumentException">There is none of that name, or ALLR lacks its norms.</exception>
    public static LearningRate Create(string id, LearningRate original, long originalSteps, long steps, double removedNorm = double.NaN, double norm = double.NaN, double removedShare = double.NaN)
    {
        ArgumentNullException.ThrowIfNull(original);
        ArgumentOutOfRangeException.ThrowIfLessThan(originalSteps, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(steps, 1);
        double peak = 0, least = double.PositiveInfinity;
        for (long t = 0; t < originalSteps; t++)
        {
            double rate = original.At(t);
            peak = Math.Max(peak, rate);
            if (rate > 0) least = Math.Min(least, rate);
        }
        if (double.IsInfinity(least)) least = 0;
        long rise = steps / 10, rest = Math.Max(1, steps - rise);
        switch (id)
        {
            case "ft": return new Constant(least);
            case "lrw": return new Shifted(original, originalSteps - Math.Min(steps, originalSteps));
            case "slr": return new CosineRise(new Compressed(original, originalSteps, rest), rise);
            case "clr": return new CosineRise(new Cosine(peak, rest, least), rise);
            case "llr": return new CosineRise(new Linear(peak, rest), rise);
            case "allr":
                if (!(norm > 0) || !(removedNorm >= 0) || !(removedShare > 0)) throw new ArgumentException("ALLR needs the norms before and after pruning and the share that was removed.", nameof(removedNorm));
                double start = Math.Clamp(peak * removedNorm / norm / Math.Sqrt(removedShare), peak * Math.Min(1, (double)steps / originalSteps), peak);
                return new CosineRise(new Linear(start, rest), rise);
            default: throw new ArgumentException($"There is no retraining rate '{id}'; there are {string.Join(", ", Ids)}.", nameof(id));
        }
    }

    /// <summary>A curve from a later step on.</summary>
    private sealed class Shifted(LearningRate curve, long by) : LearningRate
    {
        protected override double Evaluate(long step) => curve.At(step + by);

        public override string ToString() => $"{curve}, from step {by}";
    }

    /// <summary>A whole curve in fewer (or more) steps.</summary>
    private sealed class Compressed(LearningRate curve, long from, long to) : LearningRate
    {
        protected override double Evaluate(long step) => curve.At(Math.Min(from - 1, (long)(step * (double)from / to)));

        public override string ToString() => $"{curve}, {from} steps as {to}";
    }

    private sealed class CosineRise(LearningRate curve, long steps) : LearningRate
    {
        protected override double Evaluate(long step) => step < steps
            ? curve.At(0) * 0.5 * (1 - Math.Cos(Math.PI * step / steps))
            : curve.At(step - steps);

        public override string ToString() => $"{steps} steps of rise along a cosine, then {curve}";
    }
}
