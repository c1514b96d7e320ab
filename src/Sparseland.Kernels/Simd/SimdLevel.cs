using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Simd;

/// <summary>The widths that a kernel can be compiled for; higher values are wider.</summary>
public enum SimdLevel
{
    /// <summary>No vector instructions: the reference width.</summary>
    Scalar = 0,

    /// <summary>128-bit vectors (SSE, NEON): 4 floats.</summary>
    Vector128 = 1,

    /// <summary>256-bit vectors with fused multiply-add (AVX2 + FMA): 8 floats.</summary>
    Vector256 = 2,

    /// <summary>512-bit vectors (AVX-512F): 16 floats.</summary>
    Vector512 = 3,
}

/// <summary>Says which instruction level the kernels use on this machine.</summary>
/// <remarks>
/// The level is read once per process from the CPU. The environment variable <c>SPARSELAND_SIMD</c>
/// (<c>scalar</c>, <c>128</c>, <c>256</c>, <c>512</c>) lowers it, which is how every level is tested on one machine.
/// </remarks>
public static class SimdSupport
{
    /// <summary>Name of the environment variable that lowers the level. Anything but the names above is refused: see <see cref="Level"/>.</summary>
    public const string EnvironmentVariable = "SPARSELAND_SIMD";

    // 0 until someone asks: a value that is refused is an error of who asks, and none of the type.
    private static int s_levelPlusOne;

    /// <summary>The widest level that this CPU and runtime offer.</summary>
    public static SimdLevel Hardware { get; } = DetectHardware();

    /// <summary>The level in use: <see cref="Hardware"/> unless the environment lowers it.</summary>
    /// <exception cref="ArgumentException">Read, here or by any kernel or session, while the environment variable <see cref="EnvironmentVariable"/> holds none of its values; the message names both.</exception>
    public static SimdLevel Level => Volatile.Read(ref s_levelPlusOne) is > 0 and int level ? (SimdLevel)(level - 1) : FromEnvironment();

    /// <summary>The level that results from a requested name on a machine with the given hardware.</summary>
    /// <exception cref="ArgumentException">The name is none of scalar, 128, 256, 512.</exception>
    public static SimdLevel Choose(string? requested, SimdLevel hardware)
    {
        if (string.IsNullOrWhiteSpace(requested)) return hardware;
        SimdLevel wanted = requested.Trim().ToLowerInvariant() switch
        {
            "scalar" or "0" => SimdLevel.Scalar,
            "128" or "v128" => SimdLevel.Vector128,
            "256" or "v256" => SimdLevel.Vector256,
            "512" or "v512" => SimdLevel.Vector512,
            _ => throw new ArgumentException(
                $"{EnvironmentVariable} is '{requested}'; expected scalar, 128, 256 or 512.", nameof(requested)),
        };
        return wanted < hardware ? wanted : hardware;
    }

    private static SimdLevel FromEnvironment()
    {
        SimdLevel level = Choose(Environment.GetEnvironmentVariable(EnvironmentVariable), Hardware);
        // Who read it at the same time reads the same.
        Volatile.Write(ref s_levelPlusOne, (int)level + 1);
        return level;
    }

    private static SimdLevel DetectHardware()
    {
        // On some servers Vector512.IsHardwareAccelerated is false although AVX-512 is there.
        if (Vector512.IsHardwareAccelerated || Avx512F.IsSupported) return SimdLevel.Vector512;
        if (Vector256.IsHardwareAccelerated && Fma.IsSupported) return SimdLevel.Vector256;
        return Vector128.IsHardwareAccelerated ? SimdLevel.Vector128 : SimdLevel.Scalar;
    }
}
