using System.CommandLine;
using Sparseland.Bench.Page;
using Sparseland.Cli.Hosting;

namespace Sparseland.Bench;

/// <summary>Writes docs/performance.md from the committed figures.</summary>
internal sealed class PageCommand : Verb
{
    private readonly Option<string?> _results = new("--results") { Description = "The folder of figures (default: bench/results of this checkout)." };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The page (default: docs/performance.md of this checkout)." };

    protected override (string Name, string Description) Title => ("page", "Write docs/performance.md from the figures in bench/results.");

    protected override void Declare(Command command)
    {
        command.Options.Add(_results);
        command.Options.Add(_output);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string results = arguments.GetValue(_results) ?? Path.Combine(Checkout.Root(), "bench", "results"), output = arguments.GetValue(_output) ?? Path.Combine(Checkout.Root(), "docs", "performance.md");
        string text = PerformancePage.Make(results);
        if (context.Settings.DryRun)
        {
            context.Say($"would write {output}: {text.Length} characters");
            return Task.FromResult(ExitCodes.Done);
        }
        string temporary = output + ".tmp";
        File.WriteAllText(temporary, text);
        File.Move(temporary, output, overwrite: true);
        context.Say($"wrote {output}");
        return Task.FromResult(ExitCodes.Done);
    }
}
