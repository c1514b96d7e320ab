using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

public sealed class MethodTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-methods-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static OneShotSparsifier OneShot(string id, PruningSettings settings, params (string, string)[] arguments) =>
        (OneShotSparsifier)MethodCatalog.Get(id).Build(settings, arguments.ToDictionary(a => a.Item1, a => a.Item2));

    public static TheoryData<string, string> OneShotForms()
    {
        var data = new TheoryData<string, string>();
        foreach (string allocation in (string[])["global", "uniform", "uniform+", "erk", "er", "lamp"]) data.Add("magnitude", allocation);
        foreach (string allocation in (string[])["uniform", "erk", "er", "uniform+"]) data.Add("random", allocation);
        foreach (string allocation in (string[])["global", "erk"]) data.Add("snip", allocation);
        return data;
    }

    [Theory]
    [MemberData(nameof(OneShotForms))]
    public void Counts_are_exact_density_never_rises_and_threads_do_not_matter(string id, string allocation)
    {
        string? first = null;
        foreach (int threads in (int[])[1, 2, 3])
        {
            int before = WorkPool.Threads;
            WorkPool.Threads = threads;
            try
            {
                var model = new TrainableModel(Make.Network());
                PruningTarget target = PruningTarget.Of(model);
                long kept = long.MaxValue;
                foreach (double sparsity in (double[])[0.5, 0.8, 0.9])
                {
                    Mask?[] old = [.. target.Layers.Select(target.Mask)];
                    PruningResult result = OneShot(id, new PruningSettings { Sparsity = sparsity, Seed = 3 }, ("allocation", allocation)).Apply(target, new PruningContext { Data = Make.Loader() });
                    Assert.Equal((long)Math.Round(result.Total * (1 - sparsity), MidpointRounding.ToEven), result.Kept);
                    Assert.True(result.Kept < kept);
                    kept = result.Kept;
                    for (int l = 0; l < old.Length; l++)
                    {
                        Mask now = target.Mask(target.Layers[l]) ?? Mask.Ones(target.Layers[l].Shape.ToArray());
                        if (old[l] is { } o) Assert.True(now.IsSubsetOf(o));
                        float[] values = target.Values(target.Layers[l]);
                        for (int i = 0; i < values.Length; i++) Assert.True(now[i] || values[i] == 0);
                        Assert.True(now.KeptCount >= 1);
                    }
                    // Once more with the same target removes nothing.
                    Assert.True(OneShot(id, new PruningSettings { Sparsity = sparsity, Seed = 3 }, ("allocation", allocation)).Apply(target, new PruningContext { Data = Make.Loader() }).NothingRemoved);
                }
                string print = string.Join("|", target.Layers.Select(l => string.Join(",", target.Mask(l)?.Words.ToArray() ?? [])));
                first ??= print;
                Assert.Equal(first, print);
            }
            finally
            {
                WorkPool.Threads = before;
            }
        }
    }

    [Theory]
    [InlineData("2:4")]
    [InlineData("1:4")]
    [InlineData("4x1")]
    [InlineData("2x3")]
    [InlineData("row")]
    [InlineData("column")]
    public void Patterns_are_kept(string text)
    {
        SparsityPattern pattern = SparsityPattern.Parse(text);
        ModelGraph graph = Make.Network();
        PruningTarget target = PruningTarget.Of(graph);
        PruningResult result = OneShot("magnitude", new PruningSettings { Sparsity = 0.5, Pattern = pattern }).Apply(target);
        Assert.False(result.NothingRemoved);
        foreach (LayerOutcome outcome in result.Layers)
        {
            if (target.Mask(outcome.Layer) is not { } mask) continue;
            Mask matrix = Mask.FromFlags([outcome.Layer.Rows, outcome.Layer.Columns], outcome.Layer.ToMatrix(mask.ToFlags()));
            Assert.Null(PatternCheck.FirstViolation(pattern, matrix, outcome.Layer.Rows, outcome.Layer.Columns));
        }
        if (pattern.Kind == SparsityKind.NofM)
        {
            Assert.Contains(result.Layers, l => l.Layer.Name == "conv1.weight" && l.Note is not null);
            Assert.Contains(result.Reasons, r => r.Contains("multiple of 4", StringComparison.Ordinal));
        }
        else
        {
            Assert.InRange(result.Achieved, 0.45, 0.55);
        }
    }

    [Fact]
    public void Global_magnitude_removes_the_smallest_of_all()
    {
        ModelGraph graph = Make.Network();
        PruningTarget target = PruningTarget.Of(graph);
        float[] all = [.. target.Layers.SelectMany(target.Values).Select(MathF.Abs).Order()];
        PruningResult result = OneShot("magnitude", new PruningSettings { Sparsity = 0.6, Bounds = LayerBounds.None }).Apply(target);
        float threshold = all[(int)result.Removed];
        foreach (LayerOutcome layer in result.Layers)
        {
            Assert.True(layer.LowestKept >= threshold);
            Assert.True(layer.HighestRemoved <= threshold);
        }
        Assert.Equal(0.6, result.Achieved, 3);
    }

    [Fact]
    public void Nothing_to_prune_comes_with_reasons()
    {
        ModelGraph graph = Make.Network();
        PruningResult none = OneShot("magnitude", new PruningSettings { Policy = new LayerPolicy { Ignore = ["*"] } }).Apply(PruningTarget.Of(graph));
        Assert.True(none.NothingRemoved);
        Assert.Contains(none.Reasons, r => r.Contains("excluded by user", StringComparison.Ordinal));
        PruningResult zero = OneShot("magnitude", new PruningSettings { Sparsity = 0 }).Apply(PruningTarget.Of(graph));
        Assert.True(zero.NothingRemoved);
        Assert.NotEmpty(zero.Reasons);
        var g = new GraphBuilder("none");
        g.Output("y", g.Relu(g.Input("x", ElementType.Float32, 1, 4)));
        Assert.Contains("no convolution", OneShot("magnitude", new PruningSettings()).Apply(PruningTarget.Of(g.Build())).Reasons[0]);
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => new PruningSettings { Sparsity = 1.1 }).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => OneShot("snip", new PruningSettings()).Apply(PruningTarget.Of(new TrainableModel(graph)))).Code);
    }

    [Fact]
    public void Values_that_are_not_finite_are_named()
    {
        ModelGraph graph = Make.Network();
        float[] values = graph.Weights["conv2.weight"].Read().Clone().Array<float>();
        values[7] = float.NaN;
        graph.Weights["conv2.weight"].Set(TensorData.Wrap(values, 16, 8, 3, 3));
        PruningException e = Assert.Throws<PruningException>(() => OneShot("magnitude", new PruningSettings()).Apply(PruningTarget.Of(graph)));
        Assert.Equal("SL4013", e.Code);
        Assert.Contains("conv2.weight", e.Message);
    }

    [Fact]
    public void Snip_leaves_no_trace_but_the_masks_and_agrees_with_a_finite_difference()
    {
        var model = new TrainableModel(Make.Network());
        float[][] buffers = [.. model.Buffers.Select(b => b.Value.ToArray())];
        OneShot("snip", new PruningSettings { Sparsity = 0.9 }, ("batches", "3")).Apply(PruningTarget.Of(model), new PruningContext { Data = Make.Loader() });
        Assert.Equal(buffers, model.Buffers.Select(b => b.Value.ToArray()));
        Assert.All(model.Parameters, p => Assert.True(p.Grad is null && !p.WantsDenseGradient));
        Assert.Equal(0, model.TrainingPasses);
    }

    [Fact]
    public void Exchange_worked_examples()
    {
        bool[] active = [true, true, true, true, true, false, false, false];
        float[] weights = [5, 4, 3, 2, 1, 0, 0, 0];
        // No gradient anywhere: ties go to the lowest index, so the two that were dropped come back.
        Assert.Equal(active, DynamicSparseTraining.Exchange(weights, active, new float[8], 0.4));
        Assert.Equal([true, true, true, false, false, false, true, true], DynamicSparseTraining.Exchange(weights, active, [0, 0, 0, 0, 0, 0, 1, 2], 0.4));
        // A weight that was just dropped and has a gradient is grown before inactive ones without.
        Assert.Equal([true, true, true, false, true, true, false, false], DynamicSparseTraining.Exchange(weights, active, [0, 0, 0, 0, 0.5f, 0.1f, 0, 0], 0.4));
    }

    [Fact]
    public void Growing_a_weight_at_zero_does_not_change_the_output()
    {
        var model = new TrainableModel(Make.Network());
        OneShot("magnitude", new PruningSettings { Sparsity = 0.8 }).Apply(PruningTarget.Of(model));
        model.IsTraining = false;
        var input = new ModelValue(Make.Loader().At(0).Inputs);
        float[] before = model.Forward(input).ToArray();
        Parameter conv = model.Parameter("conv2.weight");
        bool[] flags = conv.Mask!.ToFlags();
        for (int i = 0, grown = 0; i < flags.Length && grown < 20; i++)
        {
            if (flags[i]) continue;
            flags[i] = true;
            grown++;
        }
        model.SetMask(conv, Mask.FromFlags(conv.Value.Shape.ToArray(), flags));
        Near.BitEqual(before, model.Forward(input).ToArray());
    }

    private static Trainer Train(TrainableModel model, TrainingSparsifier method, long steps = 60, string? checkpoint = null, params ITrainerCallback[] more) =>
        new(model, new Sgd(model.Parameters, 0.05, 0.9, 1e-4), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(),
            new TrainerOptions { Steps = steps, Callbacks = [method, .. more], CheckpointPath = checkpoint });

    private sealed class Watcher(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "watcher";

        public void OnStepEnd(TrainingContext context) => look(context);
    }

    private static TrainingSparsifier During(string id, double sparsity, long steps = 60, params (string, string)[] arguments) =>
        (TrainingSparsifier)MethodCatalog.Get(id).Build(new PruningSettings { Sparsity = sparsity, Seed = 1 }, arguments.ToDictionary(a => a.Item1, a => a.Item2), steps);

    [Theory]
    [InlineData("rigl")]
    [InlineData("set")]
    [InlineData("static")]
    public void Dynamic_training_keeps_counts_zeros_and_fresh_moments(string id)
    {
        var model = new TrainableModel(Make.Network());
        TrainingSparsifier method = During(id, 0.8, 60, id == "static" ? [] : [("interval", "5"), ("share", "0.4")]);
        int[]? counts = null;
        Mask?[] masks = [];
        int moved = 0;
        var watcher = new Watcher(c =>
        {
            Parameter[] layers = [.. c.Model.Parameters.Where(p => p.Kind == ParameterKind.Weight)];
            counts ??= [.. layers.Select(p => p.Mask!.KeptCount)];
            Assert.Equal(counts, layers.Select(p => p.Mask!.KeptCount));
            OptimizerState state = c.Optimizer.Export();
            for (int l = 0; l < layers.Length; l++)
            {
                Mask mask = layers[l].Mask!;
                Span<float> values = layers[l].Value.Values;
                float[]? velocity = state.Moments.GetValueOrDefault(layers[l].Name + "/velocity")?.Array<float>();
                for (int i = 0; i < mask.Length; i++)
                {
                    if (!mask[i]) Assert.True(values[i] == 0 && (velocity is null || velocity[i] == 0));
                    // RigL's exchange replaces the update: what was grown is zero with fresh moments at that moment.
                    if (id == "rigl" && masks.Length > 0 && mask[i] && !masks[l]![i]) Assert.True(values[i] == 0 && velocity![i] == 0);
                    if (masks.Length > 0 && mask[i] && !masks[l]![i]) moved++;
                }
            }
            masks = [.. layers.Select(p => p.Mask)];
        });
        using Trainer trainer = Train(model, method, more: watcher);
        trainer.Run();
        Assert.Equal(Math.Round(method.Result().Total * 0.2), method.Result().Kept);
        Assert.Equal(id != "static", moved > 0);
        Assert.Equal(moved, ((DynamicSparseTraining)method).Exchanged);
    }

    [Theory]
    [InlineData("gmp")]
    [InlineData("rigl")]
    public void Killed_and_resumed_is_bit_equal(string id)
    {
        string Run(long? stop)
        {
            string path = Path.Combine(_folder, $"{id}{stop}.safetensors");
            (string, string)[] arguments = id == "gmp" ? [("interval", "4")] : [("interval", "5")];
            if (stop is { } at)
            {
                var part = new TrainableModel(Make.Network());
                using var cancel = new CancellationTokenSource();
                using Trainer cut = Train(part, During(id, 0.85, 60, arguments), checkpoint: path);
                cut.Run(new At(at, cancel), cancel.Token);
            }
            var model = new TrainableModel(Make.Network());
            using Trainer trainer = Train(model, During(id, 0.85, 60, arguments));
            if (stop is not null) trainer.Restore(path);
            trainer.Run();
            return string.Join("|", model.Parameters.Select(p => string.Join(",", p.Value.ToArray().Select(BitConverter.SingleToInt32Bits)) + p.Mask));
        }
        string straight = Run(null);
        foreach (long stop in (long[])[1, 10, 15, 23, 42, 59]) Assert.Equal(straight, Run(stop));
    }

    private sealed class At(long step, CancellationTokenSource cancel) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step) cancel.Cancel();
        }
    }

    [Fact]
    public void Gradual_pruning_follows_the_curve_and_never_brings_anything_back()
    {
        var model = new TrainableModel(Make.Network());
        var method = (GradualPruning)During("gmp", 0.9, 60, ("interval", "3"), ("start", "0.1"), ("end", "0.8"));
        double last = 0;
        Mask?[] masks = [];
        var watcher = new Watcher(c =>
        {
            PruningResult now = method.Result();
            if (method.Schedule.IsUpdate(c.Step)) Assert.Equal(method.Schedule.At(c.Step), now.Achieved, 2e-4);
            Assert.True(now.Achieved >= last);
            last = now.Achieved;
            Mask?[] present = [.. now.Layers.Select(l => c.Model.Parameter(l.Layer.Name).Mask)];
            for (int l = 0; l < masks.Length; l++)
            {
                if (masks[l] is { } before) Assert.True(present[l]!.IsSubsetOf(before));
            }
            masks = present;
        });
        using Trainer trainer = Train(model, method, more: watcher);
        trainer.Run();
        Assert.Equal(0.9, last, 3);
        model.SyncToGraph();
        Assert.Equal(method.Result().Kept, model.Graph.Weights.Values.Where(w => w.Mask is not null).Sum(w => w.Mask!.KeptCount));
    }

    [Fact]
    public void A_sparsity_of_zero_is_plain_training_bit_for_bit()
    {
        float[] Weights(bool pruned)
        {
            var model = new TrainableModel(Make.Network());
            using Trainer trainer = pruned
                ? Train(model, During("gmp", 0, 20), 20)
                : new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9, 1e-4), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 20 });
            trainer.Run();
            return [.. model.Parameters.SelectMany(p => p.Value.ToArray())];
        }
        Near.BitEqual(Weights(false), Weights(true));
    }

    [Theory]
    [InlineData("rigl", 60, "interval", "100", "no weight is exchanged")]
    [InlineData("set", 60, "end", "0.05", "no weight is exchanged")]
    [InlineData("gmp", 60, "interval", "50", "in one cut, at step 42")]
    [InlineData("granet", 60, "interval", "30", "in one cut, at step 30")]
    [InlineData("granet", 60, "interval", "60", "no weight is replaced")]
    [InlineData("rigl", 60, "interval", "10", null)]
    [InlineData("static", 60, "allocation", "erk", null)]
    [InlineData("gmp", 60, "schedule", "one-shot", null)]
    [InlineData("granet", 60, "interval", "10", null)]
    public void A_schedule_that_never_acts_is_said(string id, int steps, string name, string value, string? sentence)
    {
        TrainingSparsifier method = During(id, 0.8, steps, (name, value));
        // Before the run starts already.
        string[] foreseen = [.. method.Foresee(steps)];
        Assert.Equal(sentence is null, foreseen.Length == 0);
        using Trainer trainer = Train(new TrainableModel(Make.Network()), method, steps);
        trainer.Run();
        Assert.Subset(method.Warnings.ToHashSet(), foreseen.ToHashSet());
        if (sentence is null) Assert.DoesNotContain(method.Warnings, w => w.Contains("step", StringComparison.Ordinal));
        else Assert.Contains(method.Warnings, w => w.Contains(sentence, StringComparison.Ordinal));
    }

    [Fact]
    public void A_ramp_that_ends_after_the_run_is_refused()
    {
        var model = new TrainableModel(Make.Network());
        using Trainer trainer = Train(model, During("gmp", 0.9, 100), 60);
        Assert.Equal("SL4008", Assert.Throws<PruningException>(() => trainer.Run()).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => MethodCatalog.Get("rigl").Build(new PruningSettings())).Code);
        Assert.Equal("SL4009", Assert.Throws<PruningException>(() => MethodCatalog.Get("rigl").Build(new PruningSettings { Pattern = SparsityPattern.NofM(2, 4) }, null, 10)).Code);
    }
}
