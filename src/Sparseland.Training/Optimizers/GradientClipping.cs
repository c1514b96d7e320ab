using System.Buffers;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Optimizers;

/// <summary>Keeps gradients from exploding.</summary>
public static class GradientClipping
{
    /// <summary>Scales all gradients so that their joint Euclidean norm is at most <paramref name="maximum"/> (Pascanu et al. 2013, algorithm 1).</summary>
    /// <returns>The norm before scaling. Removed entries do not count.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The maximum is not positive.</exception>
    public static double ByNorm(IEnumerable<Parameter> parameters, double maximum)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maximum);
        List<Parameter> list = [.. parameters.Where(p => p.IsTrained && p.Value.HasGrad)];
        double sum = 0;
        foreach (Parameter p in list)
        {
            Span<float> g = Present(p);
            float[]? kept = null;
            if (p.Mask is { } mask && g.Length == mask.Length)
            {
                // Kept entries alone, in the mask's order: the bits are those of a gradient that has no others.
                kept = ArrayPool<float>.Shared.Rent(mask.KeptCount);
                Span<float> present = kept.AsSpan(0, mask.KeptCount);
                mask.Gather(g, present);
                g = present;
            }
            // Partial sums in double: a norm over millions of singles must not lose its small terms.
            for (int start = 0; start < g.Length; start += 4096) sum += TensorPrimitives.SumOfSquares(g.Slice(start, Math.Min(4096, g.Length - start)));
            if (kept is not null) ArrayPool<float>.Shared.Return(kept);
        }
        double norm = Math.Sqrt(sum);
        // The tiny constant in the denominator is PyTorch's (clip_grad_norm_).
        double scale = maximum / (norm + 1e-6);
        if (scale < 1)
        {
            foreach (Parameter p in list)
            {
                Span<float> g = Present(p);
                TensorPrimitives.Multiply(g, (float)scale, g);
            }
        }
        return norm;
    }

    /// <summary>Limits every entry of every gradient to [-maximum, maximum].</summary>
    /// <exception cref="ArgumentOutOfRangeException">The maximum is not positive.</exception>
    public static void ByValue(IEnumerable<Parameter> parameters, float maximum)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maximum);
        foreach (Parameter p in parameters)
        {
            if (!p.Value.HasGrad) continue;
            Span<float> g = Present(p);
            TensorPrimitives.Clamp(g, -maximum, maximum, g);
        }
    }

    /// <summary>The gradient, or where only kept entries have one, theirs: the others are zero and stay so.</summary>
    private static Span<float> Present(Parameter p) => p.Value.StoredGrad is { } stored ? stored.Values : p.Value.Grad!.Values;
}
