using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>Carries out a pruning request on a graph: one-shot, gradual, or channels, with recovery training where there is data.</summary>
internal sealed class PruneRunner(VerbContext context, PruneRequest request, OpenedData? data, RunFolder? run)
{
    private readonly List<(string, Evaluation)> _evaluations = [];

    /// <summary>Evaluate at most this many samples between the phases; null takes all.</summary>
    public int? EvaluationLimit { get; init; }

    /// <summary>Builds the method and looks for what it needs, so that what cannot work is an error, and what would come to nothing a warning, before anything is run or written.</summary>
    /// <exception cref="VerbException">SL4005: data or a training is missing.</exception>
    /// <exception cref="PruningException">A parameter is out of range or conflicts with another, or a filter matches nothing.</exception>
    public void Validate(ModelGraph graph)
    {
        if (request.Channels is not null) return;
        long steps = TrainingSteps();
        if (request.Method.Stage == PruningStage.During || request.Method.Needs.HasFlag(CriterionNeeds.Retraining))
        {
            if (data is null) throw new VerbException(ExitCodes.Usage, "SL4005", $"the method '{request.Method.Id}' acts while a network is trained, and there is no data") { Try = "add --data DATA and --epochs N" };
            if (steps < 1) throw new VerbException(ExitCodes.Usage, "SL4005", $"the method '{request.Method.Id}' acts while a network is trained") { Try = "add --epochs N" };
        }
        Sparsifier method = Build(steps);
        _ = method.Plan(PruningTarget.Of(graph));
        if (method is TrainingSparsifier during)
        {
            foreach (string warning in during.Foresee(steps)) context.Warn(warning);
        }
        (CriterionNeeds needs, bool given) = method switch
        {
            OneShotSparsifier oneShot => (oneShot.Requires, data is not null),
            // These look at training samples; a set that is for evaluation alone has none.
            GraphSparsifier rewriting => (rewriting.Requires, data?.Source.Train is not null),
            _ => (CriterionNeeds.None, true),
        };
        bool labels = needs.HasFlag(CriterionNeeds.Labels);
        if (given && labels && data?.Source.ForTraining.TargetsPerSample == 0)
            throw new VerbException(ExitCodes.Usage, "SL4005", $"the method '{request.Method.Id}' needs labelled data; these samples have no labels") { Try = "data with labels, for example --data shapes" };
        if (needs.HasFlag(CriterionNeeds.Data) && !given)
            throw new VerbException(ExitCodes.Usage, "SL4005", $"the method '{request.Method.Id}' needs {(labels ? "labelled data" : "data")}") { Try = "add --data DATA, for example --data shapes" };
    }

    private Sparsifier Build(long steps) => request.Method.Build(request.Settings, request.Arguments, request.Method.Stage == PruningStage.During ? steps : 0);

    /// <summary>Prunes a copy of the graph.</summary>
    public async Task<PruneOutcome> RunAsync(ModelGraph dense)
    {
        ModelGraph graph = dense.Clone();
        await EvaluateAsync("dense", graph).ConfigureAwait(false);
        return request.Channels is { } channels ? await RemoveChannelsAsync(dense, graph, channels).ConfigureAwait(false)
            : request.IsStructured ? await RewriteAsync(dense, graph).ConfigureAwait(false)
            : await RemoveWeightsAsync(dense, graph).ConfigureAwait(false);
    }

    /// <summary>What the method would do with each layer, without doing it.</summary>
    public static LayerPlan PlanLayers(ModelGraph graph, PruneRequest request) => request.CreateForPlan().Plan(PruningTarget.Of(graph));

    /// <summary>The sparsity at which the compact file meets a size: weights x (1 + density x 32) / 8 for pruned layers, everything else as it is.</summary>
    /// <exception cref="VerbException">No sparsity below 100 % is enough; the smallest size is named.</exception>
    public static PruneRequest SolveSize(ModelGraph graph, PruneRequest request)
    {
        if (request.Size is not { } size) return request;
        LayerPlan plan = PlanLayers(graph, request);
        long others = graph.Weights.Values.Sum(w => (long)w.Length * w.ElementType.Size()) - plan.Length * sizeof(float);
        // 5 % and a few kilobytes of header are what the format may take beside the formula.
        double room = (size - 4096) / 1.05 - others - plan.Length / 8.0;
        double density = room * 8 / 32 / Math.Max(1, plan.Length);
        double smallest = 1.05 * (others + plan.Length / 8.0) + 4096;
        if (density <= 0)
            throw new VerbException(ExitCodes.GateNotMet, "SL5102", $"{size / 1e6:0.###} MB cannot be reached by removing single weights") { Because = $"with every weight removed the file would still be about {smallest / 1e6:0.###} MB", Try = $"--size {Math.Ceiling(smallest * 1.02 / 1e4) / 100}MB, or remove channels with --params" };
        return request with { Recipe = request.Recipe.With("sparsity", Math.Clamp(1 - density, 0, 0.999999).ToString("R", System.Globalization.CultureInfo.InvariantCulture)) };
    }

    private async Task<PruneOutcome> RemoveWeightsAsync(ModelGraph dense, ModelGraph graph)
    {
        long steps = TrainingSteps();
        Sparsifier method = Build(steps);
        LayerPlan plan = method.Plan(PruningTarget.Of(graph));
        PruningResult result;
        IReadOnlyList<string> foreseen = [];
        if (method is OneShotSparsifier oneShot)
        {
            bool needsModel = (request.Method.Needs | oneShot.Requires) != CriterionNeeds.None;
            TrainableModel? model = needsModel ? new TrainableModel(graph) : null;
            // A set that is for evaluation alone will do where the method looks at weights only.
            BatchLoader? loader = data is null || !needsModel ? null : new BatchLoader(data.Source.ForTraining, new BatchOptions
            {
                BatchSize = Math.Min(request.Training.BatchSize, data.Source.ForTraining.Count),
                Seed = context.Settings.Seed,
                Normalization = data.Normalization,
            });
            PruningTarget target = model is null ? PruningTarget.Of(graph) : PruningTarget.Of(model);
            result = await context.TrackAsync(request.Title, Math.Max(1, plan.Layers.Count), work => oneShot.Apply(target, new PruningContext
            {
                Data = loader,
                Progress = new Forward(p => work.Report(p.Done * (double)plan.Layers.Count / Math.Max(1, p.Total), p.What)),
                Cancellation = context.Cancellation,
            })).ConfigureAwait(false);
            model?.SyncToGraph();
            await EvaluateAsync(steps > 0 ? "pruned, not trained" : "pruned", graph).ConfigureAwait(false);
            if (steps > 0) await TrainAsync(graph, [], dense, steps, "recovering").ConfigureAwait(false);
        }
        else
        {
            if (method is TrainingProgram program)
            {
                (result, _) = await new ProgramSession(context, data!, request.Training, run).RunAsync(program, new TrainableModel(graph), request.Title.ToLowerInvariant()).ConfigureAwait(false);
            }
            else
            {
                var training = (TrainingSparsifier)method;
                foreseen = training.Foresee(steps);
                await TrainAsync(graph, [training], dense, steps, request.Title.ToLowerInvariant()).ConfigureAwait(false);
                result = training.Result();
            }
        }
        if (steps > 0) await EvaluateAsync("pruned and trained", graph).ConfigureAwait(false);
        CheckDensity(graph, result);

        Dictionary<string, TensorType> types = Verbs.InspectVerb.BatchTypes(graph, 1);
        return new PruneOutcome
        {
            Title = request.Title,
            Target = request.Target,
            Dense = dense,
            Pruned = graph,
            Rows = [.. result.Layers.Select(l => new PruneRow(l.Layer.Name, l.Layer.Kind.ToString().ToLowerInvariant(), $"[{string.Join(", ", l.Layer.Shape)}]", $"{l.After:N0} of {l.Layer.Length:N0}", l.Sparsity,
                float.IsNaN(l.HighestRemoved) ? "" : $"{l.HighestRemoved:G3} | {l.LowestKept:G3}", l.Note ?? ""))],
            Refused = [.. result.Excluded.Select(e => $"{e.Layer.Name}: {e.Reason}")],
            Warnings = result.Warnings,
            Foreseen = foreseen,
            NothingBecause = graph.Weights.Values.All(w => w.Mask is null || w.Mask.KeptCount == w.Length) ? result.Reasons : [],
            Before = ModelCost.Of(dense, types),
            After = ModelCost.Of(graph, types),
            Evaluations = _evaluations,
            IsText = data?.IsText ?? false,
        };
    }

    private async Task<PruneOutcome> RemoveChannelsAsync(ModelGraph dense, ModelGraph graph, ChannelPruning channels)
    {
        Dictionary<string, TensorType> types = Verbs.InspectVerb.BatchTypes(graph, 1);
        StructuredResult result = await context.TrackAsync(request.Title, 1, _ => channels.Prune(graph, types, context.Cancellation)).ConfigureAwait(false);
        ModelGraph pruned = result.Graph;
        await EvaluateAsync(TrainingSteps() > 0 ? "pruned, not trained" : "pruned", pruned).ConfigureAwait(false);
        if (TrainingSteps() > 0)
        {
            await TrainAsync(pruned, [], dense, TrainingSteps(), "recovering").ConfigureAwait(false);
            await EvaluateAsync("pruned and trained", pruned).ConfigureAwait(false);
        }
        return new PruneOutcome
        {
            Title = request.Title,
            Target = request.Target,
            Dense = dense,
            Pruned = pruned,
            Rows = [.. result.Plan.Groups.Select(g => new PruneRow(g.Group.Name, g.Group.Kind == UnitKind.Head ? "heads" : "channels", g.Group.UnitCount.ToString(), g.Kept.ToString(),
                1 - (double)g.Kept / g.Group.UnitCount, $"{g.LowestScore:G3} .. {g.HighestScore:G3}", g.Refusal?.ToString() ?? (g.Rounding switch { > 0 => $"{g.Rounding} kept for a round width", < 0 => $"{-g.Rounding} more left for a round width", _ => "" })))],
            Refused = [.. result.Refused.Select(r => r.ToString())],
            NothingBecause = result.RemovedUnits > 0 ? [] : [.. result.Refused.Select(r => r.ToString()).DefaultIfEmpty("the budget asks for nothing to be removed")],
            Before = result.Before,
            After = ModelCost.Of(pruned, types),
            Evaluations = _evaluations,
            IsText = data?.IsText ?? false,
        };
    }

    /// <summary>Methods that make the graph smaller and plan for themselves.</summary>
    private async Task<PruneOutcome> RewriteAsync(ModelGraph dense, ModelGraph graph)
    {
        Dictionary<string, TensorType> types = Verbs.InspectVerb.BatchTypes(graph, 1);
        var method = (GraphSparsifier)request.Method.Build(request.Settings, request.Arguments, 0);
        GraphResult result = await context.TrackAsync(request.Title, 1, work => method.Rewrite(graph, new PruningContext
        {
            Data = data?.Source.Train is { } samples ? request.Training.CreateLoader(samples, data.Normalization) : null,
            InputTypes = types,
            Progress = new Forward(p => work.Report(p.Done / (double)Math.Max(1, p.Total), p.What)),
            Cancellation = context.Cancellation,
        })).ConfigureAwait(false);
        await EvaluateAsync(TrainingSteps() > 0 ? "pruned, not trained" : "pruned", result.Graph).ConfigureAwait(false);
        if (TrainingSteps() > 0)
        {
            await TrainAsync(result.Graph, [], dense, TrainingSteps(), "recovering").ConfigureAwait(false);
            await EvaluateAsync("pruned and trained", result.Graph).ConfigureAwait(false);
        }
        return new PruneOutcome
        {
            Title = request.Title,
            Target = request.Target,
            Dense = dense,
            Pruned = result.Graph,
            Rows = [.. result.Changes.Select(c => new PruneRow(c.Name, c.Kind, c.Before.ToString("N0"), c.After.ToString("N0"), c.Before == 0 ? 0 : 1 - (double)c.After / c.Before, "", c.Note ?? ""))],
            Refused = result.Refused,
            Warnings = result.Warnings,
            NothingBecause = result.NothingRemoved ? [.. result.Refused.DefaultIfEmpty("the target asks for nothing to be removed")] : [],
            Before = ModelCost.Of(dense, types),
            After = ModelCost.Of(result.Graph, types),
            Evaluations = _evaluations,
            IsText = data?.IsText ?? false,
        };
    }

    private long TrainingSteps() => data?.Source.Train is { } samples ? request.Training.TotalSteps(samples) : 0;

    private async Task TrainAsync(ModelGraph graph, IReadOnlyList<ITrainerCallback> callbacks, ModelGraph dense, long steps, string title)
    {
        var model = new TrainableModel(graph);
        using var session = new TrainingSession(context, model, data!, request.Training with { Steps = steps }, callbacks, run, title, TrainingSession.TeacherOf(request.Training, dense));
        await session.RunAsync().ConfigureAwait(false);
    }

    private async Task EvaluateAsync(string name, ModelGraph graph)
    {
        if (data is null) return;
        Evaluation e = await EvaluationService.EvaluateAsync(context, graph, data, 128, EvaluationLimit, $"evaluating ({name})").ConfigureAwait(false);
        _evaluations.Add((name, e));
        context.Detail($"{name}: {TrainingSession.Describe(e)}");
    }

    /// <summary>R16: what training left must be what the method decided.</summary>
    private static void CheckDensity(ModelGraph graph, PruningResult result)
    {
        foreach (LayerOutcome layer in result.Layers)
        {
            Mask? mask = graph.Weights[layer.Layer.Name].Mask;
            if (mask is not null && mask.KeptCount > layer.After)
                throw new VerbException(ExitCodes.Unexpected, "SL9001", $"'{layer.Layer.Name}' has {mask.KeptCount} weights left; the method kept {layer.After}");
        }
    }

    private sealed class Forward(Action<PruningProgress> action) : IProgress<PruningProgress>
    {
        public void Report(PruningProgress value) => action(value);
    }
}
