using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Bench.Figures;

/// <summary>One OpenBLAS in this process, with the kernels that it chose or was told to choose: single-precision products of row-major matrices. Never linked, only looked for.</summary>
/// <remarks>
/// It chooses kernels for the processor while it is loaded, and reads then what the environment says of that: images of machines name older kernels there, so that numbers are the same everywhere,
/// and a processor that is younger than the library may get older ones as well. Haswell kernels do half of what those for AVX-512 do on a Zen 5. So copies of the file are loaded, each with its own
/// environment and a library of its own, and times decide.
/// </remarks>
internal sealed unsafe partial class OpenBlasLibrary
{
    /// <summary>Its kernels for AVX-512. Those for Cooper Lake and Sapphire Rapids compute single precision by the same ones.</summary>
    private const string WideKernels = "SKYLAKEX";

    /// <summary>What it reads of the environment: the kernels, and a size of the second cache that sets its blocks.</summary>
    private static readonly string[] s_variables = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"];

    private static readonly string[] s_wide = ["SkylakeX", "Cooperlake", "SapphireRapids"];

    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    private readonly nint _library;
    private readonly string? _secondCache;
    private readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> _gemm;
    private readonly delegate* unmanaged<int, int, int, int, float, float*, int, float*, int, float, float*, int, void> _gemv;
    private readonly delegate* unmanaged<int, void> _setThreads;
    private int _threads;

    private OpenBlasLibrary(nint library, string? secondCache)
    {
        _library = library;
        _gemm = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)Symbol("cblas_sgemm");
        _gemv = (delegate* unmanaged<int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)Symbol("cblas_sgemv");
        _setThreads = (delegate* unmanaged<int, void>)Symbol("openblas_set_num_threads");
        Kernels = Text("openblas_get_corename");
        _secondCache = secondCache;
        Version = Text("openblas_get_config").Split(" NO_")[0];
    }

    /// <summary>Its name and version.</summary>
    public string Version { get; }

    /// <summary>What it calls the kernels that it runs.</summary>
    public string Kernels { get; }

    /// <summary>What tells it from the others: its kernels, and the size of the second cache where it was told one.</summary>
    public string Name => $"{Kernels} kernels{(_secondCache is null ? "" : $" for a second cache of {_secondCache}")}";

    /// <summary>The library as the environment has it; where that names kernels, with those of its own choice; where neither has the widest vectors of the processor, with kernels for them. None where it is not installed.</summary>
    public static IReadOnlyList<OpenBlasLibrary> OpenAll()
    {
        if (!NativeLibrary.TryLoad("libopenblas.so.0", out nint handle) && !NativeLibrary.TryLoad("openblas", out handle)) return [];
        string? told = Environment.GetEnvironmentVariable(s_variables[1]);
        var all = new List<OpenBlasLibrary> { new(handle, told is { Length: > 0 } ? told : null) };
        if (all[0]._gemm == null || all[0]._gemv == null) return [];
        if (!OperatingSystem.IsLinux()) return all;
        if (s_variables.Any(v => Environment.GetEnvironmentVariable(v) is { Length: > 0 })) Add(OpenCopy(null));
        if (Avx512F.IsSupported && !all.Exists(l => s_wide.Contains(l.Kernels))) Add(OpenCopy(WideKernels));
        return all;

        void Add(OpenBlasLibrary? library)
        {
            // The kernels that the environment names and those of its own choice may be the same; told another cache, they are not: they have other blocks.
            if (library is not null && !all.Exists(l => l.Name == library.Name)) all.Add(library);
        }
    }

    /// <summary>Uses so many threads from here on.</summary>
    public void UseThreads(int threads)
    {
        if (threads == _threads || _setThreads == null) return;
        _setThreads(threads);
        _threads = threads;
    }

    /// <summary>c [m, n] = op(a) op(b); a is stored [k, m] and b [n, k] when transposed.</summary>
    public void Multiply(bool transA, bool transB, int m, int n, int k, ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> c)
    {
        fixed (float* pa = a, pb = b, pc = c)
        {
            if (n == 1 && !transB) _gemv(RowMajor, transA ? Transpose : NoTranspose, transA ? k : m, transA ? m : k, 1, pa, transA ? m : k, pb, 1, 0, pc, 1);
            else _gemm(RowMajor, transA ? Transpose : NoTranspose, transB ? Transpose : NoTranspose, m, n, k, 1, pa, transA ? m : k, pb, transB ? k : n, 0, pc, n);
        }
    }

    /// <summary>A copy of the loaded file is another library to the system, and reads its environment anew. Null where it cannot be made.</summary>
    /// <param name="kernels">Which kernels; null for those of its own choice.</param>
    private static OpenBlasLibrary? OpenCopy(string? kernels)
    {
        string? path = File.ReadLines("/proc/self/maps").Select(line => line[(line.LastIndexOf(' ') + 1)..]).FirstOrDefault(p => Path.GetFileName(p).StartsWith("libopenblas", StringComparison.Ordinal));
        if (path is null) return null;
        string copy = Path.Combine(Directory.CreateTempSubdirectory("sparseland-openblas-").FullName, Path.GetFileName(path));
        try
        {
            File.Copy(path, copy);
            // Variables that .NET sets do not reach libraries; what the process was started with stays in .NET's own copy, which its children get.
            foreach (string variable in s_variables) UnsetVariable(variable);
            if (kernels is not null) SetVariable(s_variables[0], kernels, 1);
            return NativeLibrary.TryLoad(copy, out nint library) ? new OpenBlasLibrary(library, null) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(copy)!, recursive: true);
        }
    }

    private string Text(string symbol) => Symbol(symbol) is var f && f != 0 ? Marshal.PtrToStringAnsi(((delegate* unmanaged<nint>)f)()) ?? "" : "";

    private nint Symbol(string name) => NativeLibrary.TryGetExport(_library, name, out nint address) ? address : 0;

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "unsetenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnsetVariable(string name);
}
