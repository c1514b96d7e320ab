using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Pruning.Analysis;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Checks the record of an experiment against ten rules of fair comparison: <c>doctor run RUN</c>.</summary>
internal sealed class DoctorRunVerb : Verb
{
    private readonly Argument<string> _run = new("run") { Description = "The folder of a run of train, prune, recover or quickstart." };
    private readonly Option<string[]> _beside = new("--beside") { Description = "Run folders of other seeds, baselines and dense networks that belong to the same comparison.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<bool> _gate = new("--gate") { Description = "Exit code 5 when a rule is not honoured." };

    protected override (string Name, string Description) Title => ("run", "Say whether an experiment honours the ten rules of comparison for sparse networks, and what is missing.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_run);
        command.Options.Add(_beside);
        command.Options.Add(_gate);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        RunRecord record = RunRecord.Read(arguments.GetValue(_run)!);
        RunRecord[] beside = [.. (arguments.GetValue(_beside) ?? []).Select(RunRecord.Read)];
        IReadOnlyList<LessonFinding> findings = ExperimentChecklist.Check(record.With(beside));
        var table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn("").RightAligned()).AddColumns("verdict", "rule", "found");
        foreach (LessonFinding f in findings) table.AddRow(f.Number.ToString(), Word(f.Verdict), Markup.Escape(f.Rule), Markup.Escape(f.Reason));
        context.Show(table);
        if (record.TrainingMacs is { } macs) context.Say($"training cost {macs / 1e12:0.###} T multiply-adds with dense kernels, forward and backward");
        LessonFinding[] missing = [.. findings.Where(f => f.Verdict == LessonVerdict.Missing)];
        foreach (LessonFinding f in missing) context.Say($"{f.Number,2}  {f.Try}");
        int concerned = findings.Count(f => f.Verdict != LessonVerdict.NotApplicable);
        context.Conclude($"{concerned - missing.Length} of {concerned} rules that concern it are honoured");
        context.Result(new JsonObject
        {
            ["run"] = record.Path,
            ["beside"] = new JsonArray([.. beside.Select(b => (JsonNode)b.Path)]),
            ["method"] = record.Facts.Method,
            ["honoured"] = concerned - missing.Length,
            ["concerned"] = concerned,
            ["trainingMultiplyAdds"] = record.TrainingMacs,
            ["rules"] = new JsonArray([.. findings.Select(f => (JsonNode)new JsonObject { ["number"] = f.Number, ["rule"] = f.Rule, ["verdict"] = f.Verdict.ToString(), ["found"] = f.Reason, ["try"] = f.Try })]),
        });
        return Task.FromResult(missing.Length > 0 && arguments.GetValue(_gate) ? ExitCodes.GateNotMet : ExitCodes.Done);
    }

    private static string Word(LessonVerdict verdict) => verdict switch { LessonVerdict.Honoured => "honoured", LessonVerdict.Missing => "missing", _ => "-" };
}
