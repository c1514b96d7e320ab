using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Says whether machine code multiplies sparse weights on this machine.</summary>
/// <remarks>
/// With AVX-512 code is written for a weight's own structure, or, as with AVX2, once for all, whose rows are put in order for it. Both need Linux on x64, and a system that lets a process make memory executable; elsewhere, and when the
/// environment variable <c>SPARSELAND_COMPILED</c> is <c>0</c>, kernels without code are used. Results are the same bits.
/// </remarks>
public static class CompiledKernels
{
    /// <summary>Name of the environment variable that switches compilation off when it is <c>0</c>.</summary>
    public const string EnvironmentVariable = "SPARSELAND_COMPILED";

    /// <summary>Whether calls from this thread may use machine code.</summary>
    public static bool AreUsed => AreWritten || CompiledMatrix.Usable256;

    /// <summary>Whether code may be written for the structure of a weight.</summary>
    public static bool AreWritten => CompiledMatrix.Usable;
}
