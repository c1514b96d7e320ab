using System.Globalization;
using Sparseland.Model;
using Sparseland.Model.Analysis;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>Runs any method of the catalogue on one network with one budget and measures what came out.</summary>
/// <remarks>
/// The budget is counted in passes: batches of training whose gradient is taken. All trainings of a method that owns several share it; scoring before them is extra and stands in the seconds of pruning. Times are processor time of this process, so that other work on the machine does not
/// count; the pruning itself is done twice where it is short, and the second time counts, without compilation.
/// </remarks>
/// <param name="run">Seed, progress, values.</param>
/// <param name="lab">Data; its plan's steps are the passes of the budget.</param>
/// <param name="comparison">Id of the comparison, for file names.</param>
/// <param name="start">The network that every method starts from.</param>
/// <param name="isTrained">Whether it is trained already: then what a cut leaves is measured before the recovery as well.</param>
/// <param name="keep">Folder for compact files, or null.</param>
public sealed class MethodBench(ReproductionRun run, Lab lab, string comparison, ModelGraph start, bool isTrained, string? keep)
{
    /// <summary>A pruning that takes less is done again, so that compilation does not count.</summary>
    private const double ShortSeconds = 2;

    /// <summary>The sparsity as it is written everywhere.</summary>
    public static string Level(double sparsity) => sparsity == 0 ? "dense" : string.Create(CultureInfo.InvariantCulture, $"{100 * sparsity:0.#} %");

    /// <summary>The name of a measured value.</summary>
    /// <param name="sparsity">The sparsity; 0 for the dense network.</param>
    /// <param name="quantity">accuracy, accuracy after the cut, bytes, parameters, pruning seconds, training seconds or passes.</param>
    public static string Name(double sparsity, string quantity) => $"{Level(sparsity)}: {quantity}";

    /// <summary>The name of a kept file.</summary>
    public static string File(string comparison, string row, double sparsity) =>
        string.Create(CultureInfo.InvariantCulture, $"{comparison}.{row}.{100 * sparsity:0.#}.sparse.safetensors");

    /// <summary>Measures a row at a sparsity; a refusal becomes a note.</summary>
    /// <param name="row">The row.</param>
    /// <param name="sparsity">The sparsity; not used by the dense network.</param>
    public void Measure(ComparisonRow row, double sparsity)
    {
        ArgumentNullException.ThrowIfNull(row);
        string level = Level(sparsity);
        try
        {
            var counter = new PassCounter();
            var clock = new Clock();
            TrainableModel model = row.Method is null ? Dense(counter, clock) : Sparse(row, sparsity, counter, clock);
            run.Measure(Name(sparsity, "accuracy"), lab.Accuracy(model));
            run.Measure(Name(sparsity, "pruning seconds"), clock.Pruning);
            run.Measure(Name(sparsity, "training seconds"), clock.Training);
            run.Measure(Name(sparsity, "passes"), counter.Passes);
            model.SyncToGraph();
            run.Measure(Name(sparsity, "parameters"), ModelCost.Of(model.Graph).NonZeros);
            run.Measure(Name(sparsity, "bytes"), Save(model.Graph, row, sparsity));
        }
        catch (SparselandException e)
        {
            run.Note($"{level}: {e.Message}{(e.Because is null ? "" : ": " + e.Because)}");
        }
    }

    private TrainableModel Dense(PassCounter counter, Clock clock)
    {
        TrainableModel model = lab.Model(start.Clone());
        if (isTrained) run.Measure(Name(0, "accuracy after the cut"), lab.Accuracy(model));
        clock.Train(() => lab.Train(model, "dense", null, counter.PerStep(1)));
        return model;
    }

    private TrainableModel Sparse(ComparisonRow row, double sparsity, PassCounter counter, Clock clock)
    {
        MethodInfo info = MethodCatalog.Get(row.Method!);
        var settings = new PruningSettings { Sparsity = row.CutsUnits ? 1 - Math.Sqrt(1 - sparsity) : sparsity, Seed = run.Seed, Policy = info.DefaultPolicy, Pattern = info.DefaultPattern };
        Dictionary<string, string> arguments = row.Arguments.ToDictionary(a => a.Name, a => a.Value);
        long passes = lab.Plan.Steps ?? throw new InvalidOperationException("The budget is a number of steps.");
        long first = (long)(passes * row.DenseShare), steps = (passes - first) / row.PassesPerStep;
        TrainingPlan plan = row.Adapt(lab.Plan with { Steps = steps });
        string what = $"{row.Id} {Level(sparsity)}";
        Sparsifier Method() => info.Build(settings, arguments, steps);
        switch (Method())
        {
            case GraphSparsifier:
                GraphResult smaller = clock.Prune(() => ((GraphSparsifier)Method()).Rewrite(start.Clone(), Context()));
                Require(!smaller.NothingRemoved, "nothing can be removed", smaller.Refused);
                return Recover(lab.Model(smaller.Graph), what, sparsity, plan, counter, clock);
            case OneShotSparsifier:
                (TrainableModel pruned, PruningResult result) = clock.Prune(() =>
                {
                    TrainableModel fresh = lab.Model(start.Clone());
                    return (fresh, ((OneShotSparsifier)Method()).Apply(PruningTarget.Of(fresh), Context()));
                });
                Require(!result.NothingRemoved, "nothing is removed", result.Reasons);
                return Recover(pruned, what, sparsity, plan, counter, clock);
            case TrainingProgram program:
                TrainableModel whole = lab.Model(start.Clone());
                TrainingPlan share = plan with { Steps = Math.Max(1, (long)Math.Round(steps / program.Trainings)) };
                clock.Train(() => lab.Run(program, whole, what, share, counter.PerStep(1)));
                return whole;
            case TrainingSparsifier training:
                TrainableModel model = lab.Model(start.Clone());
                if (first > 0) clock.Train(() => lab.Train(model, what + ", dense", lab.Plan with { Steps = first }, counter.PerStep(1)));
                clock.Train(() => lab.Train(model, what, plan with { Seed = first > 0 ? 1 : 0 }, training, counter.PerStep(row.PassesPerStep)));
                return model;
            default:
                throw new InvalidOperationException($"'{row.Method}' is of no known form.");
        }
    }

    private TrainableModel Recover(TrainableModel model, string what, double sparsity, TrainingPlan plan, PassCounter counter, Clock clock)
    {
        if (isTrained) run.Measure(Name(sparsity, "accuracy after the cut"), lab.Accuracy(model));
        clock.Train(() => lab.Train(model, what, plan, counter.PerStep(1)));
        return model;
    }

    private PruningContext Context()
    {
        GraphValue input = start.Inputs[0];
        return lab.Context() with { InputTypes = new Dictionary<string, TensorType> { [input.Name] = new(input.Type.ElementType, new TensorShape([1, .. lab.Data.ForTraining.SampleShape.ToArray()])) } };
    }

    private long Save(ModelGraph graph, ComparisonRow row, double sparsity)
    {
        string name = File(comparison, row.Id, sparsity), path = Path.Combine(keep ?? Path.GetTempPath(), keep is null ? $"{Guid.NewGuid():N}.sparse.safetensors" : name);
        if (keep is not null) Directory.CreateDirectory(keep);
        try
        {
            ModelFile.Save(graph, path);
            return new FileInfo(path).Length;
        }
        finally
        {
            if (keep is null) System.IO.File.Delete(path);
        }
    }

    private static void Require(bool removed, string what, IReadOnlyList<string> reasons)
    {
        if (!removed) throw new PruningException("SL4006", what) { Because = string.Join("; ", reasons.Take(3)) };
    }

    /// <summary>Processor time of this process, by what it was spent on.</summary>
    private sealed class Clock
    {
        public double Pruning { get; private set; }

        public double Training { get; private set; }

        public T Prune<T>(Func<T> prune)
        {
            double before = Now;
            T result = prune();
            Pruning = Now - before;
            if (Pruning >= ShortSeconds) return result;
            before = Now;
            result = prune();
            Pruning = Now - before;
            return result;
        }

        public void Train(Action train)
        {
            double before = Now;
            train();
            Training += Now - before;
        }

        private static double Now => ReproductionRun.ProcessorSeconds;
    }

    /// <summary>Counts batches whose gradient was taken by training steps, over all trainings.</summary>
    private sealed class PassCounter
    {
        public long Passes { get; private set; }

        public ITrainerCallback PerStep(int passes) => new Callback(this, passes);

        private sealed class Callback(PassCounter counter, int passes) : ITrainerCallback
        {
            public string Name => "passes";

            public void OnStepEnd(TrainingContext context) => counter.Passes += passes;
        }
    }
}
