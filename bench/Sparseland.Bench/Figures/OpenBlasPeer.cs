using System.Runtime.InteropServices;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>OpenBLAS in this process: single-precision products of row-major matrices. Optional; never linked, only looked for.</summary>
internal static unsafe class OpenBlasPeer
{
    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "apt-get install libopenblas0-pthread";

    /// <summary>Its name among the variants of a figure.</summary>
    public const string Name = "openblas";

    /// <summary>Its threads look for more work for 2^26 ticks (its documented default, 26 ms here) before they sleep; nothing else is timed meanwhile.</summary>
    public const int RestMilliseconds = 30;

    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    private static readonly nint s_library = Open();
    private static readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> s_gemm =
        (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)Symbol("cblas_sgemm");
    private static readonly delegate* unmanaged<int, int, int, int, float, float*, int, float*, int, float, float*, int, void> s_gemv =
        (delegate* unmanaged<int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)Symbol("cblas_sgemv");

    /// <summary>Whether the library and what is used of it are there.</summary>
    public static bool IsInstalled => s_gemm != null && s_gemv != null;

    /// <summary>Version and the kernels that it chose for this processor.</summary>
    public static string Version => $"{Text("openblas_get_config").Split(" NO_")[0]} ({Text("openblas_get_corename")} kernels)";

    /// <summary>Gives it as many threads as our kernels use.</summary>
    public static void UseOurThreads()
    {
        if (Symbol("openblas_set_num_threads") is var set && set != 0) ((delegate* unmanaged<int, void>)set)(WorkPool.Threads);
    }

    /// <summary>c [m, n] = op(a) op(b); a is stored [k, m] and b [n, k] when transposed.</summary>
    public static void Multiply(bool transA, bool transB, int m, int n, int k, ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> c)
    {
        fixed (float* pa = a, pb = b, pc = c)
        {
            if (n == 1 && !transB) s_gemv(RowMajor, transA ? Transpose : NoTranspose, transA ? k : m, transA ? m : k, 1, pa, transA ? m : k, pb, 1, 0, pc, 1);
            else s_gemm(RowMajor, transA ? Transpose : NoTranspose, transB ? Transpose : NoTranspose, m, n, k, 1, pa, transA ? m : k, pb, transB ? k : n, 0, pc, n);
        }
    }

    private static string Text(string symbol) => Symbol(symbol) is var f && f != 0 ? Marshal.PtrToStringAnsi(((delegate* unmanaged<nint>)f)()) ?? "" : "";

    private static nint Symbol(string name) => s_library != 0 && NativeLibrary.TryGetExport(s_library, name, out nint address) ? address : 0;

    private static nint Open() => NativeLibrary.TryLoad("libopenblas.so.0", out nint library) || NativeLibrary.TryLoad("openblas", out library) ? library : 0;
}
