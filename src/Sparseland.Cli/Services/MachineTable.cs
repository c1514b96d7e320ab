using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;
using Sparseland.Model;
using Sparseland.Runtime;

namespace Sparseland.Cli.Services;

/// <summary>The break-even points of this machine: what <c>doctor --calibrate</c> measured for this processor, instruction level and number of threads, else the built-in ones.</summary>
internal static class MachineTable
{
    /// <summary>Environment variable with the folder for what is measured once per machine.</summary>
    public const string EnvironmentVariable = "SPARSELAND_CACHE";

    private static readonly Lock s_gate = new();
    private static (string Path, BreakEvenTable Table)? s_loaded;

    /// <summary>The file with the points of this processor, level and number of threads: a home folder may be shared by several machines.</summary>
    public static string Path => System.IO.Path.Combine(
        Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } folder
            ? folder
            : System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "sparseland"),
        FileName(MachineInfo.Current.Processor, SimdSupport.Level, WorkPool.Threads));

    /// <summary>The points in use.</summary>
    public static BreakEvenTable Table
    {
        get
        {
            lock (s_gate)
            {
                string path = Path;
                if (s_loaded is not { } loaded || loaded.Path != path) s_loaded = loaded = (path, Load(path));
                return loaded.Table;
            }
        }
    }

    /// <summary>Session options with this machine's break-even points.</summary>
    /// <param name="forceDense">Dense kernels for every weight: the dense twin.</param>
    public static SessionOptions Options(bool forceDense = false) => new() { ForceDense = forceDense, BreakEven = Table };

    /// <summary>Keeps points for this machine; every plan from now on uses them.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Keep(BreakEvenTable table)
    {
        string path = Path;
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        table.Save(path);
        lock (s_gate) s_loaded = (path, table);
    }

    /// <summary>break-even-PROCESSOR-LEVEL-THREADS.json, in characters that every file system takes.</summary>
    internal static string FileName(string processor, SimdLevel level, int threads)
    {
        char[] name = [.. processor.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')];
        return $"break-even-{string.Join('-', new string(name).Split('-', StringSplitOptions.RemoveEmptyEntries))}-{level.ToString().ToLowerInvariant()}-{threads}.json";
    }

    private static BreakEvenTable Load(string path)
    {
        if (!File.Exists(path)) return BreakEvenTable.BuiltIn;
        try
        {
            return BreakEvenTable.Load(path);
        }
        catch (SparselandException e)
        {
            Console.Error.WriteLine($"warning: {e.Message}; the built-in break-even points are used (doctor --calibrate measures them again)");
            return BreakEvenTable.BuiltIn;
        }
    }
}
