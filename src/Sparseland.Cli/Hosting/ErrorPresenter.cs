using Sparseland.Model;

namespace Sparseland.Cli.Hosting;

/// <summary>Turns an exception into lines for a person and an exit code.</summary>
internal static class ErrorPresenter
{
    /// <summary>The exit code and the text for standard error.</summary>
    /// <param name="error">What was thrown.</param>
    /// <param name="verbose">Whether the text has the stack trace of an unexpected error.</param>
    /// <param name="resumes">Whether the verb goes on where it was stopped.</param>
    /// <param name="cancelled">What is left when it was cancelled.</param>
    public static (int ExitCode, string Text) Present(Exception error, bool verbose, bool resumes, string cancelled)
    {
        (int code, string text) = error switch
        {
            VerbException e => (e.ExitCode, e.Describe()),
            OperationCanceledException => (ExitCodes.Cancelled, $"cancelled; {cancelled}"),
            // The one file error that is about a target and not about an input.
            ModelFormatException { Code: "SL1003" } e => (ExitCodes.OverLimit, e.Describe()),
            ModelFormatException e => (ExitCodes.BadInputFile, e.Describe()),
            UnsupportedOperatorException e => (ExitCodes.BadInputFile, e.Describe()),
            GraphException e => (ExitCodes.BadInputFile, e.Describe()),
            // Targets that cannot be met, whichever of them it is, end alike.
            SparselandException { Code: "SL4004" or "SL4030" } e => (ExitCodes.GateNotMet, e.Describe()),
            // Names that do not exist and engines that are not there are usage; sets and results that do not serve are files.
            SparselandException { Code: "SL6001" or "SL6005" or "SL6006" or "SL6007" } e => (ExitCodes.Usage, e.Describe()),
            SparselandException { Code: "SL6002" or "SL6003" } e => (ExitCodes.BadInputFile, e.Describe()),
            SparselandException e => (FamilyExitCode(e.Code), e.Describe()),
            FileNotFoundException e => (ExitCodes.BadInputFile, Line("SL1000", $"file not found: {e.FileName ?? e.Message}", "check the path")),
            DirectoryNotFoundException e => (ExitCodes.BadInputFile, Line("SL1000", e.Message, "check the path")),
            UnauthorizedAccessException e => (ExitCodes.OverLimit, Line("SL5001", e.Message, "choose a target that you may write, with -o or --run-dir")),
            IOException e when IsDiskFull(e) => (ExitCodes.OverLimit, Line("SL5002", $"the disk is full: {e.Message}", $"free some space, then run the same command{(resumes ? " with --resume" : "")}; nothing half-written is left")),
            IOException e => (ExitCodes.OverLimit, Line("SL5003", e.Message, "check that the target can be written")),
            // What is read once per process from the environment: SPARSELAND_THREADS, SPARSELAND_SIMD.
            ArgumentException { ParamName: "requested" } e => Variable(e),
            OutOfMemoryException => (ExitCodes.OverLimit, Line("SL5004", "out of memory", "use a smaller --batch or a machine with more memory")),
            _ => (ExitCodes.Unexpected, Line("SL9999", $"unexpected: {error.Message}", "run again with --verbose and report the trace")),
        };
        if (verbose && error is not OperationCanceledException) text += Environment.NewLine + error;
        return (code, text);
    }

    /// <summary>The exit code and the text when a limit of the user's ended the work.</summary>
    /// <param name="context">The verb's.</param>
    /// <param name="resumes">Whether the verb goes on where it was stopped.</param>
    public static (int ExitCode, string Text) PresentLimit(VerbContext context, bool resumes)
    {
        string kept = resumes ? "; what was finished is kept" : "";
        return context.MemoryLimitReached
            ? (ExitCodes.OverLimit, Line("SL5006", $"the memory limit of {context.Settings.MemoryLimit!.Value / 1e6:0} MB was reached{kept}",
                resumes ? "run the same command with --resume and a higher --memory-limit, or start again with a smaller --batch" : "use a higher --memory-limit or a smaller --batch"))
            : (ExitCodes.OverLimit, Line("SL5005", $"the time limit was reached{kept}", resumes ? "run the same command with --resume to go on" : "use a higher --time-limit"));
    }

    private static (int ExitCode, string Text) Variable(ArgumentException e) =>
        (ExitCodes.Usage, Line("SL4000", e.Message.Replace(" (Parameter 'requested')", "", StringComparison.Ordinal), "correct the environment variable, or unset it"));

    private static int FamilyExitCode(string code) => code.Length < 3 ? ExitCodes.Unexpected : code[2] switch
    {
        '1' or '2' or '3' => ExitCodes.BadInputFile,
        '4' => ExitCodes.Usage,
        '5' => ExitCodes.OverLimit,
        _ => ExitCodes.Unexpected,
    };

    private static string Line(string code, string message, string next) =>
        $"error {code}: {message}{Environment.NewLine}  try       {next}";

    private static bool IsDiskFull(IOException e) => (e.HResult & 0xFFFF) is 28 or 112 or 39 || e.Message.Contains("No space left", StringComparison.Ordinal);
}
