using System.CommandLine;
using Sparseland.Cli.Verbs;

namespace Sparseland.Cli.Hosting;

/// <summary>Builds the command tree, handles Ctrl-C, maps parse errors to exit code 2.</summary>
internal static class CommandLineHost
{
    /// <summary>Runs one command line; returns the exit code.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        var root = new RootCommand("Sparseland finds, trains, runs and explains sparse neural networks.");
        foreach (Verb verb in Verbs()) root.Subcommands.Add(verb.ToCommand());

        if (args.Length == 0) args = ["--help"];
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors) await Console.Error.WriteLineAsync($"error SL4000: {error.Message}");
            string path = parsed.CommandResult.Command is RootCommand ? "" : " " + parsed.CommandResult.Command.Name;
            await Console.Error.WriteLineAsync($"  try       sparseland{path} --help");
            return ExitCodes.Usage;
        }

        using var cancellation = new CancellationTokenSource();
        ConsoleCancelEventHandler onCancel = (_, e) =>
        {
            // The first Ctrl-C lets the verb save its state; a second one ends the process at once.
            if (cancellation.IsCancellationRequested) return;
            e.Cancel = true;
            Console.Error.WriteLine("stopping: saving state (press Ctrl-C again to quit at once)");
            cancellation.Cancel();
        };
        Console.CancelKeyPress += onCancel;
        using var terminate = System.Runtime.InteropServices.PosixSignalRegistration.Create(
            System.Runtime.InteropServices.PosixSignal.SIGTERM,
            signal =>
            {
                if (cancellation.IsCancellationRequested) return;
                signal.Cancel = true;
                cancellation.Cancel();
            });
        try
        {
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return await parsed.InvokeAsync(configuration, cancellation.Token).ConfigureAwait(false);
        }
        finally
        {
            Console.CancelKeyPress -= onCancel;
        }
    }

    private static IEnumerable<Verb> Verbs() =>
    [
        new QuickstartVerb(),
        new InspectVerb(),
        new AnalyzeVerb(),
        new PlanVerb(),
        new PruneVerb(),
        new TrainVerb(),
        new RecoverVerb(),
        new EvaluateVerb(),
        new ConvertVerb(),
        new RunVerb(),
        new CheckVerb(),
        new BenchVerb(),
        new ReproduceVerb(),
        new CompareVerb(),
        new ListVerb(),
        new DoctorVerb(),
    ];
}
