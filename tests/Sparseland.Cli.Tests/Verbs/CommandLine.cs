using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Verbs;

/// <summary>Runs verbs inside the test process, one at a time, with the console's streams caught: no start-up cost.</summary>
internal static class CommandLine
{
    private static readonly SemaphoreSlim s_one = new(1, 1);

    public static async Task<ProcessResult> RunAsync(params string[] arguments)
    {
        await s_one.WaitAsync();
        (TextWriter output, TextWriter error) = (Console.Out, Console.Error);
        using StringWriter caughtOutput = new(), caughtError = new();
        try
        {
            Console.SetOut(caughtOutput);
            Console.SetError(caughtError);
            int code = await CommandLineHost.RunAsync(arguments);
            return new ProcessResult(code, caughtOutput.ToString(), caughtError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
            s_one.Release();
        }
    }

    /// <summary>Checks exit code and error code, and that nothing went to standard output as if it had worked.</summary>
    public static async Task<ProcessResult> FailsAsync(int exitCode, string errorCode, params string[] arguments)
    {
        ProcessResult result = await RunAsync(arguments);
        string line = $"sparseland {string.Join(' ', arguments)}: exit {result.ExitCode}\n{result.Output}\n{result.Error}";
        Assert.True(exitCode == result.ExitCode, line);
        Assert.True(result.Error.Contains($"error {errorCode}", StringComparison.Ordinal), line);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        return result;
    }
}
