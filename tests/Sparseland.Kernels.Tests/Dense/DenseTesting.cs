using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.Dense;

/// <summary>Serialises the tests that change the number of threads.</summary>
[CollectionDefinition("threads", DisableParallelization = true)]
public sealed class ThreadsCollection;

/// <summary>Seeded values, and one run of a kernel per instruction level and thread count.</summary>
internal static class DenseTesting
{
    public static float[] Random(int count, int seed, float scale = 1f)
    {
        var random = new Random(seed);
        var x = new float[count];
        for (int i = 0; i < count; i++) x[i] = (float)((random.NextDouble() * 2) - 1) * scale;
        return x;
    }

    public static IEnumerable<SimdLevel> Levels()
    {
        for (var level = SimdLevel.Scalar; level <= SimdSupport.Hardware; level++) yield return level;
    }

    /// <summary>Runs a kernel at every level up to <paramref name="widest"/> and, at the widest of them, with 1, 2, 3 and 5 threads; all results must be the same bits.</summary>
    public static float[] SameEverywhere(Func<float[]> kernel, string what, SimdLevel widest = SimdLevel.Vector512)
    {
        float[]? first = null;
        int threads = WorkPool.Threads;
        try
        {
            foreach (SimdLevel level in Levels().Where(l => l <= widest))
            {
                using (SimdDispatch.Force(level))
                {
                    WorkPool.Threads = 1;
                    float[] result = kernel();
                    first ??= result;
                    BitEqual(first, result, $"{what} at {level}");
                }
            }
            using (SimdDispatch.Force((SimdLevel)Math.Min((int)widest, (int)SimdSupport.Level)))
            {
                foreach (int t in (int[])[2, 3, 5])
                {
                    WorkPool.Threads = t;
                    BitEqual(first!, kernel(), $"{what} with {t} threads");
                }
            }
        }
        finally
        {
            WorkPool.Threads = threads;
        }
        return first!;
    }

    // All NaNs are one value here: IEEE 754 leaves their payload open.
    private static void BitEqual(float[] expected, float[] actual, string what)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values, expected {expected.Length}");
        for (int i = 0; i < expected.Length; i++)
        {
            if (float.IsNaN(expected[i]) && float.IsNaN(actual[i])) continue;
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]))
                Assert.Fail($"{what}: [{i}] expected {expected[i]:R} got {actual[i]:R}");
        }
    }
}
