using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Results;

namespace Sparseland.Cli.Verbs;

/// <summary>Measures the claims of papers again: every seed of every reproduction in a process of its own.</summary>
internal sealed class ReproduceVerb : Verb
{
    private readonly Argument<string[]> _ids = new("id") { Description = "Reproductions (see 'list reproductions').", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<bool> _all = new("--all") { Description = "All of them." };
    private readonly StudyFlags _study = new("reproductions/results");
    private readonly Option<int?> _worker = new("--worker") { Description = "Run this one seed and write its part.", Hidden = true };

    protected override (string Name, string Description) Title => ("reproduce", "Measure the claims of papers again, at a size that this machine can run.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_ids);
        command.Options.Add(_all);
        _study.AddTo(command);
        command.Options.Add(_worker);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string[] ids = arguments.GetValue(_ids) ?? [];
        if (ids.Length == 0 != arguments.GetValue(_all)) throw VerbException.Usage("name reproductions, or give --all", "sparseland list reproductions shows them");
        IReproduction[] chosen = arguments.GetValue(_all) ? [.. ReproductionCatalog.All] : [.. ids.Select(ReproductionCatalog.Get)];
        StudyBatch batch = _study.Read(arguments, context);
        StudyPart Part(IReproduction r, int seed) => new($"{r.Id}, seed {seed}", $"{r.Id}.{batch.BudgetName}.{seed}.json", [r.Id, "--worker", seed.ToString(CultureInfo.InvariantCulture)]);
        if (arguments.GetValue(_worker) is { } only)
        {
            batch.Work(Part(chosen[0], only).File, only, chosen[0].Run);
            return ExitCodes.Done;
        }

        (IReproduction Reproduction, StudyPart Part)[] all = [.. chosen.SelectMany(r => batch.Seeds(r.Seeds(batch.Budget)).Select(s => (r, Part(r, s))))];
        if (!await batch.RunAsync("reproduce", $"{chosen.Length} reproductions", "reproducing", [.. all.Select(p => p.Part)]).ConfigureAwait(false)) return ExitCodes.Done;
        var json = new JsonArray();
        int incomplete = 0;
        foreach (IReproduction r in chosen)
        {
            FinishedPart[] done = [.. all.Where(p => p.Reproduction == r).Select(p => batch.Read(p.Part)).OfType<FinishedPart>()];
            if (done.Length < all.Count(p => p.Reproduction == r))
            {
                incomplete++;
                continue;
            }
            ReproductionResult result = ReproductionResult.Judge(r, batch.Budget, [.. done.Select(d => d.Values)], [.. done.SelectMany(d => d.Notes).Distinct()], batch.Provenance("reproduce " + r.Id) with { Machine = done[0].Machine });
            TextFile.Write(Path.Combine(batch.Folder, r.Id + ".json"), result.ToText());
            context.Conclude($"{r.Id}: {(batch.Budget == Budget.Quick ? "ran; a quick run proves nothing" : ReproductionResult.Label(result.Verdict))}");
            foreach (RuleOutcome o in result.Rules) context.Say(double.IsFinite(o.Low) ? $"  {o.Name}: {o.Mean:0.00} ({o.Low:0.00} to {o.High:0.00}), {ReproductionResult.Label(o.Verdict)}" : $"  {o.Name}: {o.Mean:0.00}");
            foreach (string note in result.Notes) context.Warn($"{r.Id}: {note}");
            json.Add(result.ToJson());
        }
        context.Result(new JsonObject { ["results"] = json, ["incomplete"] = incomplete });
        if (incomplete > 0) throw new VerbException(ExitCodes.Unexpected, "SL6004", $"{incomplete} reproductions are incomplete") { Try = "the same command with --resume: only what is missing runs again" };
        return ExitCodes.Done;
    }
}
