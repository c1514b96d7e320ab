using System.CommandLine;
using Sparseland.Kernels.Threading;

namespace Sparseland.Cli.Hosting;

/// <summary>One verb of the command line: its options and what it does. Listed in <see cref="CommandLineHost"/>.</summary>
internal abstract class Verb
{
    private readonly CommonOptions _common = new();

    /// <summary>The verb's name and one-line description.</summary>
    protected abstract (string Name, string Description) Title { get; }

    /// <summary>Declares the verb's own arguments and options.</summary>
    protected abstract void Declare(Command command);

    /// <summary>Does the work; returns the exit code.</summary>
    protected abstract Task<int> RunAsync(ParseResult arguments, VerbContext context);

    /// <summary>Whether a run that was cancelled goes on with --resume; where not, there is no such option.</summary>
    protected virtual bool Resumes => true;

    /// <summary>What is left when the user cancels it, as the last line says.</summary>
    protected virtual string Cancelled => Resumes ? "what was finished is kept. Run the same command with --resume to go on." : "nothing was written";

    /// <summary>The command for System.CommandLine.</summary>
    public Command ToCommand()
    {
        var command = new Command(Title.Name, Title.Description);
        Declare(command);
        _common.AddTo(command, Resumes);
        command.SetAction(ExecuteAsync);
        return command;
    }

    private async Task<int> ExecuteAsync(ParseResult arguments, CancellationToken outer)
    {
        bool verbose = arguments.GetValue(_common.Verbose);
        VerbContext? context = null;
        try
        {
            context = new VerbContext(ReadSettings(arguments), outer);
            if (WorkPool.Threads > Environment.ProcessorCount && arguments.GetValue(_common.Threads) is { } asked)
                context.Warn($"{asked} threads on {(Environment.ProcessorCount == 1 ? "1 core" : $"{Environment.ProcessorCount} cores")}: they wait for each other, and every time says that; --threads {Environment.ProcessorCount} uses them all");
            int done = await RunAsync(arguments, context).ConfigureAwait(false);
            context.CompleteDryRun();
            return done;
        }
        catch (OperationCanceledException) when (context is not null && context.LimitReached(outer))
        {
            (int code, string text) = ErrorPresenter.PresentLimit(context, Resumes);
            await Console.Error.WriteLineAsync(text).ConfigureAwait(false);
            return code;
        }
        catch (Exception e)
        {
            (int code, string text) = ErrorPresenter.Present(e, verbose, Resumes, Cancelled);
            await Console.Error.WriteLineAsync(text).ConfigureAwait(false);
            return code;
        }
        finally
        {
            context?.Dispose();
        }
    }

    private VerbSettings ReadSettings(ParseResult arguments)
    {
        long seed = arguments.GetValue(_common.Seed);
        if (seed is < 0 or > int.MaxValue) throw VerbException.Usage($"--seed is {seed}", "use 0 to 2147483647");
        if (arguments.GetValue(_common.Threads) is { } threads)
        {
            if (threads is < 1 or > 1024) throw VerbException.Usage($"--threads is {threads}", "use 1 to 1024");
            WorkPool.Threads = threads;
        }
        long? memory = arguments.GetValue(_common.MemoryLimit) is { } m ? CommonOptions.ParseSize(m) : null;
        return new VerbSettings
        {
            DryRun = arguments.GetValue(_common.DryRun),
            Resume = Resumes && arguments.GetValue(_common.Resume),
            Seed = (int)seed,
            TimeLimit = arguments.GetValue(_common.TimeLimit) is { } t ? CommonOptions.ParseDuration(t) : null,
            MemoryLimit = memory,
            Quiet = arguments.GetValue(_common.Quiet),
            Verbose = arguments.GetValue(_common.Verbose),
            Json = arguments.GetValue(_common.Json),
            LogFile = arguments.GetValue(_common.LogFile),
            NoProgress = arguments.GetValue(_common.NoProgress) || arguments.GetValue(_common.Quiet),
        };
    }
}
