using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Says whether sparse weights are compiled to machine code on this machine.</summary>
/// <remarks>
/// That needs AVX-512, Linux on x64, and a system that lets a process make memory executable; elsewhere, and when the
/// environment variable <c>SPARSELAND_COMPILED</c> is <c>0</c>, kernels without code are used. Results are the same bits.
/// </remarks>
public static class CompiledKernels
{
    /// <summary>Name of the environment variable that switches compilation off when it is <c>0</c>.</summary>
    public const string EnvironmentVariable = "SPARSELAND_COMPILED";

    /// <summary>Whether kernels called from this thread may be compiled.</summary>
    public static bool AreUsed => CompiledMatrix.Usable;
}
