using Sparseland.Runtime;

namespace Sparseland.Cli.Services;

/// <summary>The break-even points of this machine (<see cref="BreakEvenTable.ForThisMachine()"/>), with a warning where a file was not taken.</summary>
internal static class MachineTable
{
    private static string? s_warned;

    /// <summary>The points in use.</summary>
    public static BreakEvenTable Table
    {
        get
        {
            BreakEvenTable table = BreakEvenTable.ForThisMachine(out string? refusal);
            if (refusal is not null && Interlocked.Exchange(ref s_warned, refusal) != refusal)
                Console.Error.WriteLine($"warning: {refusal}; the built-in break-even points are used (doctor --calibrate measures them again)");
            return table;
        }
    }

    /// <summary>Session options with this machine's break-even points.</summary>
    /// <param name="forceDense">Dense kernels for every weight: the dense twin.</param>
    public static SessionOptions Options(bool forceDense = false) => new() { ForceDense = forceDense, BreakEven = Table };
}
