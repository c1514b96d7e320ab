using System.CommandLine;
using Sparseland.Bench.Page;
using Sparseland.Cli.Hosting;

namespace Sparseland.Bench;

/// <summary>Writes docs/performance.md and the pages of the machines from the committed figures.</summary>
internal sealed class PageCommand : Verb
{
    private readonly Option<string?> _results = new("--results") { Description = "The folder of figures (default: bench/results of this checkout)." };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The folder of the pages (default: docs of this checkout)." };

    protected override (string Name, string Description) Title => ("page", "Write docs/performance.md, and a page for each machine, from the figures in bench/results.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Options.Add(_results);
        command.Options.Add(_output);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string results = arguments.GetValue(_results) ?? Checkout.Results, output = arguments.GetValue(_output) ?? Path.Combine(Checkout.Root(), "docs");
        foreach ((string name, string text) in PerformancePage.Make(results))
        {
            string file = Path.Combine(output, name);
            if (context.Settings.DryRun)
            {
                context.Say($"would write {file}: {text.Length} characters");
                continue;
            }
            string temporary = file + ".tmp";
            File.WriteAllText(temporary, text);
            File.Move(temporary, file, overwrite: true);
            context.Say($"wrote {file}");
        }
        return Task.FromResult(ExitCodes.Done);
    }
}
