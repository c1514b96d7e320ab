using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Pruning;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Services;

/// <summary>Runs a method that owns several trainings: progress over all of them, finished phases in the run folder, resume.</summary>
/// <param name="context">The running verb.</param>
/// <param name="data">Data that fits the model.</param>
/// <param name="plan">How one whole training goes.</param>
/// <param name="run">Where phases and checkpoints go; null keeps none.</param>
internal sealed class ProgramSession(VerbContext context, OpenedData data, TrainingPlan plan, RunFolder? run)
{
    /// <summary>Runs the program on a model, which then holds the result.</summary>
    /// <exception cref="OperationCanceledException">Stopped by the user or a limit; finished phases and the state are in the run folder.</exception>
    public async Task<(PruningResult Result, long Steps)> RunAsync(TrainingProgram program, TrainableModel model, string title)
    {
        ProgramRun? programRun = null;
        PruningResult result = await context.TrackAsync(title, Math.Max(1e-9, program.Trainings), work =>
        {
            programRun = new ProgramRun(program, model, new ProgramOptions
            {
                Plan = plan,
                Data = data.Source,
                Normalization = data.Normalization,
                Folder = run is null ? null : Path.Combine(run.Checkpoints, "phases"),
                Resume = context.Settings.Resume,
                Progress = new Forward(p => work.Report(p.Done, p.Training is { } t ? $"{p.Phase}, step {t.Step} of {t.TotalSteps}, loss {t.Loss:0.000}" : p.Phase)),
            }, context.Cancellation);
            return program.Run(programRun);
        }).ConfigureAwait(false);
        model.SyncToGraph();
        var phases = new JsonArray();
        foreach (ProgramRecord r in programRun!.Records)
        {
            context.Say($"{r.Phase}: {r.Density:P2} of the weights, {r.Steps} steps{(r.Evaluation is { } e ? ", " + TrainingSession.Describe(e) : "")}");
            phases.Add(new JsonObject { ["phase"] = r.Phase, ["density"] = r.Density, ["steps"] = r.Steps, ["evaluation"] = r.Evaluation is { } v ? EvaluationService.ToJson(v, data.IsText) : null });
        }
        run?.Record("phases", phases);
        return (result, programRun.Records.Sum(r => r.Steps));
    }

    private sealed class Forward(Action<ProgramProgress> action) : IProgress<ProgramProgress>
    {
        public void Report(ProgramProgress value) => action(value);
    }
}
