namespace Sparseland.Pruning.Analysis;

/// <summary>The PQ index of a weight vector, and how many weights it says may go.</summary>
/// <remarks>
/// Diao, Wang, Zhang, Yang, Ding and Tarokh, "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023: definition 1 (the index), theorem 2 (the bound),
/// algorithm 1 (the number to remove). Of (0.5, 1) and (1, 2) the paper uses both.
/// </remarks>
public static class PqIndex
{
    /// <summary>I = 1 - d^(1/q - 1/p) ||w||_p / ||w||_q over the d weights that are alive: 0 for equal magnitudes, 1 - d^(1/q - 1/p) for a single one that is not zero.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="p">The smaller exponent, above 0.</param>
    /// <param name="q">The larger exponent.</param>
    /// <param name="alive">Weights that are not removed; null = all.</param>
    /// <returns>0 when no weight is alive or all are zero.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Not 0 &lt; p &lt; q.</exception>
    public static double Of(ReadOnlySpan<float> weights, double p, double q, bool[]? alive = null)
    {
        RequireExponents(p, q);
        // Relative to the largest magnitude: no power overflows, however small p is.
        double max = 0;
        long count = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (alive is not null && !alive[i]) continue;
            count++;
            max = Math.Max(max, Math.Abs((double)weights[i]));
        }
        if (count == 0 || max == 0) return 0;
        double sumP = 0, sumQ = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (alive is not null && !alive[i]) continue;
            double x = Math.Abs((double)weights[i]) / max;
            if (x == 0) continue;
            sumP += Math.Pow(x, p);
            sumQ += Math.Pow(x, q);
        }
        double ratio = Math.Exp((1 / q - 1 / p) * Math.Log(count) + Math.Log(sumP) / p - Math.Log(sumQ) / q);
        return Math.Clamp(1 - ratio, 0, 1);
    }

    /// <summary>The largest index that d weights can have: 1 - d^(1/q - 1/p).</summary>
    public static double Maximum(long d, double p, double q)
    {
        RequireExponents(p, q);
        return d <= 0 ? 0 : 1 - Math.Exp((1 / q - 1 / p) * Math.Log(d));
    }

    /// <summary>The bound on the number to keep before it is rounded: d (1 + eta)^(-q/(q-p)) (1 - I)^(pq/(q-p)).</summary>
    /// <param name="d">Weights that are alive.</param>
    /// <param name="index">Their index.</param>
    /// <param name="p">The smaller exponent.</param>
    /// <param name="q">The larger exponent.</param>
    /// <param name="eta">Share of the p-norm that the removed weights may have, relative to the kept ones; 0 or more.</param>
    public static double Bound(long d, double index, double p, double q, double eta = 0)
    {
        RequireExponents(p, q);
        ArgumentOutOfRangeException.ThrowIfNegative(eta);
        return d * Math.Pow(1 + eta, -q / (q - p)) * Math.Pow(1 - index, p * q / (q - p));
    }

    /// <summary>The number to keep: the bound, rounded up after rounding to 1e-6 of itself, so that arithmetic alone adds no weight.</summary>
    public static long Retain(long d, double index, double p, double q, double eta = 0)
    {
        double bound = Bound(d, index, p, q, eta);
        return Math.Min(d, (long)Math.Ceiling(bound - 1e-6 * Math.Max(1, bound)));
    }

    /// <summary>The number to remove now: floor(min(gamma (d - m), beta d)), never below 0.</summary>
    /// <remarks>The authors' code evaluates floor(d min(gamma (1 - m/d), beta)) in single precision, which loses a weight for many values; this form does not.</remarks>
    /// <param name="d">Weights that are alive.</param>
    /// <param name="retain">m of <see cref="Retain"/>.</param>
    /// <param name="gamma">Speed, 0 or more; 1 removes down to the bound.</param>
    /// <param name="beta">Largest share that a round may remove, 0 to below 1.</param>
    public static long Remove(long d, long retain, double gamma = 1, double beta = 0.9)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(gamma);
        if (beta is not (>= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(beta), beta, "0 to below 1.");
        return Math.Max(0, (long)Math.Floor(Math.Min(gamma * (d - retain), beta * d) + 1e-9));
    }

    /// <summary>Index, bound and number to remove of one scope in one go.</summary>
    public static PqStep Step(ReadOnlySpan<float> weights, double p, double q, bool[]? alive = null, double eta = 0, double gamma = 1, double beta = 0.9)
    {
        long d = alive is null ? weights.Length : alive.Count(a => a);
        double index = Of(weights, p, q, alive);
        long retain = d == 0 ? 0 : Retain(d, index, p, q, eta);
        return new PqStep(d, index, retain, Remove(d, retain, gamma, beta));
    }

    private static void RequireExponents(double p, double q)
    {
        if (!(p > 0 && p < q && double.IsFinite(q))) throw new ArgumentOutOfRangeException(nameof(p), $"0 < p < q is needed; p is {p}, q is {q}.");
    }
}

/// <summary>What the PQ index says about one scope.</summary>
/// <param name="Alive">Weights that are alive.</param>
/// <param name="Index">Their PQ index.</param>
/// <param name="Retain">The bound on how many must stay.</param>
/// <param name="Remove">How many the adaptive rule removes now.</param>
public sealed record PqStep(long Alive, double Index, long Retain, long Remove);
