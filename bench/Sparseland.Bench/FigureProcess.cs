using System.Diagnostics;

namespace Sparseland.Bench;

/// <summary>A figure in a process of its own: not through `dotnet run`, because a build beside a figure would be measured with it.</summary>
internal static class FigureProcess
{
    /// <summary>Runs one to its end; when that is cancelled, what it started ends with it.</summary>
    /// <param name="program">The assembly of the build that measures; null for this one.</param>
    /// <param name="arguments">The figure and its options.</param>
    /// <param name="silent">Whether nothing that it prints is shown.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>Its exit code, and what a silent one said on standard error.</returns>
    public static async Task<(int Exit, string Error)> RunAsync(string? program, IEnumerable<string> arguments, bool silent, CancellationToken cancellation)
    {
        // A build has a host of its own beside its assembly; that of another build runs under `dotnet`, wherever this one came from.
        bool hosted = Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet";
        var start = new ProcessStartInfo(program is null || hosted ? Environment.ProcessPath! : "dotnet") { UseShellExecute = false, RedirectStandardOutput = silent, RedirectStandardError = silent };
        if (program is not null || hosted) start.ArgumentList.Add(program ?? typeof(FigureProcess).Assembly.Location);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process figure = Process.Start(start)!;
        try
        {
            // Both at once: a full pipe stops its writer.
            Task<string> output = silent ? figure.StandardOutput.ReadToEndAsync(cancellation) : Task.FromResult(""), error = silent ? figure.StandardError.ReadToEndAsync(cancellation) : Task.FromResult("");
            await output.ConfigureAwait(false);
            string said = await error.ConfigureAwait(false);
            await figure.WaitForExitAsync(cancellation).ConfigureAwait(false);
            return (figure.ExitCode, said);
        }
        catch (OperationCanceledException)
        {
            figure.Kill(entireProcessTree: true);
            throw;
        }
    }
}
