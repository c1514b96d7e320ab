namespace Sparseland.Training.Data.Corruptions;

/// <summary>x + N(0, sigma), sigma 0.04 to 0.10.</summary>
internal sealed class GaussianNoise() : Corruption("gaussian-noise", CorruptionFamily.Noise, "normal noise of deviation 0.04, 0.06, 0.08, 0.09, 0.10")
{
    private static readonly double[] s_sigma = [0.04, 0.06, 0.08, 0.09, 0.10];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        foreach (ref float x in picture.Values) x += (float)(s_sigma[severity - 1] * random.NextNormal());
    }
}

/// <summary>Poisson(c x) / c: the noise of few photons, c 500 down to 50.</summary>
internal sealed class ShotNoise() : Corruption("shot-noise", CorruptionFamily.Noise, "Poisson noise of 500, 250, 100, 75, 50 photons at full brightness")
{
    private static readonly double[] s_photons = [500, 250, 100, 75, 50];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        double photons = s_photons[severity - 1];
        foreach (ref float x in picture.Values) x = (float)(Poisson(Math.Max(0, x) * photons, ref random) / photons);
    }

    /// <summary>A Poisson number: inversion for small means, transformed rejection (Hörmann 1993, algorithm PTRS) for larger ones.</summary>
    internal static long Poisson(double mean, ref SeededRandom random)
    {
        if (mean <= 0) return 0;
        if (mean < 10)
        {
            double limit = Math.Exp(-mean), product = random.NextDouble();
            long count = 0;
            while (product > limit)
            {
                product *= random.NextDouble();
                count++;
            }
            return count;
        }
        double root = Math.Sqrt(mean), b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b, inverse = 1.1239 + 1.1328 / (b - 3.4), limitR = 0.9277 - 3.6224 / (b - 2), log = Math.Log(mean);
        while (true)
        {
            double u = random.NextDouble() - 0.5, v = random.NextDouble(), us = 0.5 - Math.Abs(u);
            long k = (long)Math.Floor((2 * a / us + b) * u + mean + 0.43);
            if (us >= 0.07 && v <= limitR) return k;
            if (k < 0 || (us < 0.013 && v > us)) continue;
            if (Math.Log(v) + Math.Log(inverse) - Math.Log(a / (us * us) + b) <= k * log - mean - LogFactorial(k)) return k;
        }
    }

    private static double LogFactorial(long k)
    {
        if (k < 2) return 0;
        if (k < 10)
        {
            double sum = 0;
            for (long i = 2; i <= k; i++) sum += Math.Log(i);
            return sum;
        }
        // Stirling's series; the error is below 1e-9 from 10 on.
        double n = k + 1.0, square = n * n;
        return (n - 0.5) * Math.Log(n) - n + 0.5 * Math.Log(2 * Math.PI) + 1 / (12 * n) - 1 / (360 * n * square) + 1 / (1260 * n * square * square);
    }
}

/// <summary>Values become black or white, a share of 0.01 to 0.07 of them.</summary>
internal sealed class ImpulseNoise() : Corruption("impulse-noise", CorruptionFamily.Noise, "a share of 0.01, 0.02, 0.03, 0.05, 0.07 of the values becomes 0 or 1")
{
    private static readonly double[] s_share = [0.01, 0.02, 0.03, 0.05, 0.07];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        foreach (ref float x in picture.Values)
        {
            // Both numbers are drawn for every value, so that severities disturb nested sets of values.
            double hit = random.NextDouble(), salt = random.NextDouble();
            if (hit < s_share[severity - 1]) x = salt < 0.5 ? 0 : 1;
        }
    }
}

/// <summary>x + x N(0, sigma), sigma 0.06 to 0.2.</summary>
internal sealed class SpeckleNoise() : Corruption("speckle-noise", CorruptionFamily.Noise, "normal noise that grows with brightness, deviation 0.06, 0.1, 0.12, 0.16, 0.2")
{
    private static readonly double[] s_sigma = [0.06, 0.1, 0.12, 0.16, 0.2];

    private protected override void Disturb(Planes picture, int severity, ref SeededRandom random)
    {
        foreach (ref float x in picture.Values) x += x * (float)(s_sigma[severity - 1] * random.NextNormal());
    }
}
