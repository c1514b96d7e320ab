using System.Diagnostics;

namespace Sparseland.Cli.Tests;

/// <summary>What a command line gave back.</summary>
internal sealed record ProcessResult(int ExitCode, string Output, string Error);

/// <summary>Runs the command line in a process of its own, as a user would.</summary>
internal static class SparselandProcess
{
    private static readonly string s_program = Path.Combine(AppContext.BaseDirectory, "sparseland.dll");

    /// <summary>Runs to the end; fails the test after the time-out.</summary>
    public static async Task<ProcessResult> RunAsync(string[] arguments, string? folder = null, int timeoutSeconds = 240, IDictionary<string, string?>? environment = null)
    {
        using Process process = Start(arguments, folder, environment);
        return await FinishAsync(process, timeoutSeconds);
    }

    /// <summary>Starts without waiting, for tests that interrupt.</summary>
    public static Process Start(string[] arguments, string? folder = null, IDictionary<string, string?>? environment = null)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder ?? Path.GetTempPath(),
        };
        start.ArgumentList.Add(s_program);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        if (environment is not null)
        {
            foreach ((string key, string? value) in environment) start.Environment[key] = value;
        }
        Process process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    /// <summary>Waits for a started process and collects what it printed.</summary>
    public static async Task<ProcessResult> FinishAsync(Process process, int timeoutSeconds = 240)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(timeoutSeconds));
        Task<string> output = process.StandardOutput.ReadToEndAsync(timeout.Token), error = process.StandardError.ReadToEndAsync(timeout.Token);
        try
        {
            await process.WaitForExitAsync(timeout.Token);
            return new ProcessResult(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"sparseland did not end within {timeoutSeconds} s");
        }
    }
}

/// <summary>A folder that is gone after the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder() => Path = Directory.CreateTempSubdirectory("sparseland-test-").FullName;

    public string Path { get; }

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
