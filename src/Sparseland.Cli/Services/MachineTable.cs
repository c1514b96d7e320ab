using Sparseland.Model;
using Sparseland.Runtime;

namespace Sparseland.Cli.Services;

/// <summary>The break-even points of this machine: what <c>doctor --calibrate</c> measured, else the built-in ones.</summary>
internal static class MachineTable
{
    /// <summary>Environment variable with the folder for what is measured once per machine.</summary>
    public const string EnvironmentVariable = "SPARSELAND_CACHE";

    private static readonly Lazy<BreakEvenTable> s_table = new(Load);

    /// <summary>The file with the measured points.</summary>
    public static string Path => System.IO.Path.Combine(
        Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } folder
            ? folder
            : System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "sparseland"),
        "break-even.json");

    /// <summary>Session options with this machine's break-even points.</summary>
    /// <param name="forceDense">Dense kernels for every weight: the dense twin.</param>
    public static SessionOptions Options(bool forceDense = false) => new() { ForceDense = forceDense, BreakEven = s_table.Value };

    /// <summary>Where the points in use come from, in words.</summary>
    public static string Origin => s_table.Value.Origin;

    private static BreakEvenTable Load()
    {
        if (!File.Exists(Path)) return BreakEvenTable.BuiltIn;
        try
        {
            return BreakEvenTable.Load(Path);
        }
        catch (SparselandException e)
        {
            Console.Error.WriteLine($"warning: {e.Message}; the built-in break-even points are used (doctor --calibrate measures them again)");
            return BreakEvenTable.BuiltIn;
        }
    }
}
