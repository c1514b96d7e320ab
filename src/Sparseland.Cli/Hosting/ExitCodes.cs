namespace Sparseland.Cli.Hosting;

/// <summary>The exit codes of every verb.</summary>
internal static class ExitCodes
{
    public const int Done = 0;
    public const int Unexpected = 1;
    public const int Usage = 2;
    public const int BadInputFile = 3;
    public const int NothingPruned = 4;
    public const int GateNotMet = 5;
    public const int OverLimit = 6;
    public const int Cancelled = 130;
}

/// <summary>An error of a verb that already knows its exit code.</summary>
internal sealed class VerbException(int exitCode, string code, string message, Exception? inner = null)
    : Model.SparselandException(code, message, inner)
{
    public int ExitCode { get; } = exitCode;

    /// <summary>The arguments do not fit together (exit 2).</summary>
    public static VerbException Usage(string message, string? next = null) =>
        new(ExitCodes.Usage, "SL4000", message) { Try = next };
}
