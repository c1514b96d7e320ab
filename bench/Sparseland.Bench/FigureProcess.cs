using System.ComponentModel;
using System.Diagnostics;
using Sparseland.Cli.Hosting;

namespace Sparseland.Bench;

/// <summary>A figure in a process of its own: not through `dotnet run`, because a build beside a figure would be measured with it.</summary>
internal static class FigureProcess
{
    /// <summary>Runs one to its end; when that is cancelled, what it started ends first.</summary>
    /// <param name="program">The assembly of the build that measures; null for this one.</param>
    /// <param name="arguments">The figure and its options.</param>
    /// <param name="output">Whether its standard output is shown.</param>
    /// <param name="errors">Whether its standard error is shown.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>Its exit code, and what it said on a standard error that is not shown.</returns>
    /// <exception cref="VerbException">There is no `dotnet` to run another build's assembly with.</exception>
    public static async Task<(int Exit, string Error)> RunAsync(string? program, IEnumerable<string> arguments, bool output, bool errors, CancellationToken cancellation)
    {
        // A build has a host of its own beside its assembly; that of another build runs under `dotnet`, wherever this one came from.
        bool hosted = Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet";
        var start = new ProcessStartInfo(program is null || hosted ? Environment.ProcessPath! : "dotnet") { UseShellExecute = false, RedirectStandardOutput = !output, RedirectStandardError = !errors };
        if (program is not null || hosted) start.ArgumentList.Add(program ?? typeof(FigureProcess).Assembly.Location);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process figure = Start(start);
        try
        {
            // Both at once: a full pipe stops its writer.
            Task<string> printed = output ? Task.FromResult("") : figure.StandardOutput.ReadToEndAsync(cancellation), said = errors ? Task.FromResult("") : figure.StandardError.ReadToEndAsync(cancellation);
            await printed.ConfigureAwait(false);
            string error = await said.ConfigureAwait(false);
            await figure.WaitForExitAsync(cancellation).ConfigureAwait(false);
            return (figure.ExitCode, error);
        }
        catch (OperationCanceledException)
        {
            figure.Kill(entireProcessTree: true);
            await figure.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw VerbException.Usage($"cannot start {start.FileName}: {e.Message}", "put dotnet on the PATH");
        }
    }
}
