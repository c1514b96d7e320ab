using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Recovery;

public sealed class PartialRetrainingTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-perp-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static DataSource Data => new("shapes", "procedural", Make.Pictures(), null);

    private static TrainableModel Pruned(double density = 0.4)
    {
        var model = new TrainableModel(Make.Network());
        foreach (Parameter p in model.Parameters.Where(p => p.Kind == ParameterKind.Weight))
            model.SetMask(p, Mask.FromFlags(p.Value.Shape.ToArray(), Pruning.Selection.ExactSelection.KeepBest(Array.ConvertAll(p.Value.ToArray(), MathF.Abs), (int)(density * p.Value.Length))));
        return model;
    }

    private static Trainer Train(TrainableModel model, string retrain, long steps = 8, string? checkpoint = null, string? resume = null, double clip = 0)
    {
        var plan = new TrainingPlan { ClipNorm = clip, Steps = steps, BatchSize = 20, Optimizer = "adamw", LearningRate = 0.01, WeightDecay = 0, Schedule = "linear", WarmUp = 0.1, Retrain = retrain, Rank = 3, Seed = 4 };
        return plan.CreateTrainer(model, new RecoveryContext(Data, InputNormalization.None) { CheckpointPath = checkpoint, ResumeFrom = resume });
    }

    private static Parameter Matrix(float[] values, bool[] kept)
    {
        var g = new GraphBuilder("matrix", 1);
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 2);
        ModelGraph graph = g.Output("y", g.MatMul(x, g.Weight("w", TensorData.Wrap(values, 2, 2)))).Build();
        var model = new TrainableModel(graph);
        Parameter w = model.Parameter("w");
        model.SetMask(w, Mask.FromFlags([2, 2], kept));
        return w;
    }

    [Fact]
    public void Mask_lora_worked_example()
    {
        Parameter w = Matrix([2, 0, 0, -1], [true, false, false, true]);
        // s = alpha / rank = 2.
        var adapter = new LowRankAdapter(w, AdapterKind.MaskLora, 1, 2, 0);
        ((float[])[1, 2]).CopyTo(adapter.B.Value.Values);
        ((float[])[0.5f, 3]).CopyTo(adapter.A.Value.Values);
        adapter.Merge();
        Assert.Equal([3, 0, 0, 11], w.Value.ToArray());
    }

    [Fact]
    public void Lora_prune_is_dense_until_it_is_cut()
    {
        // W + s B A with s = 2; under the mask W + s (M * (B A)), which is MaskLoRA's merge.
        foreach ((bool cut, float[] expected) in ((bool, float[])[])[(false, [3, 6, 2, 11]), (true, [3, 0, 0, 11])])
        {
            Parameter w = Matrix([2, 0, 0, -1], [true, !cut, !cut, true]);
            var adapter = new LowRankAdapter(w, AdapterKind.LoraPrune, 1, 2, 0);
            ((float[])[1, 2]).CopyTo(adapter.B.Value.Values);
            ((float[])[0.5f, 3]).CopyTo(adapter.A.Value.Values);
            adapter.Merge();
            Assert.Equal(expected, w.Value.ToArray());
        }
    }

    [Fact]
    public void Lora_prune_trains_without_masks_and_gives_them_back()
    {
        TrainableModel model = Pruned();
        Dictionary<string, Mask?> masks = model.Parameters.ToDictionary(p => p.Name, p => p.Mask);
        var plan = new TrainingPlan { Steps = 6, BatchSize = 20, Optimizer = "adamw", LearningRate = 0.02, WeightDecay = 0, Schedule = "constant", Retrain = "lora-prune", Rank = 3, Seed = 4 };
        int dense = 0;
        var watch = new Watch(c => dense += c.Model.Parameters.Count(p => p.Kind == ParameterKind.Weight && p.Mask is null && !p.Value.ToArray().Contains(0f)));
        using (Trainer trainer = plan.CreateTrainer(model, new RecoveryContext(Data, InputNormalization.None) { Callbacks = [watch] })) trainer.Run();
        Assert.True(dense > 0, "the weights were never dense");
        foreach (Parameter p in model.Parameters)
        {
            Assert.Equal(masks[p.Name], p.Mask);
            if (p.Mask is { } mask) for (int i = 0; i < mask.Length; i++) Assert.True(mask[i] || p.Value.Values[i] == 0);
        }
        // The network that is written is as sparse as before (R16).
        model.SyncToGraph();
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => (plan with { Average = 0.99 }).CreateTrainer(Pruned(), new RecoveryContext(Data, InputNormalization.None))).Code);
    }

    private sealed class Watch(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "watch";

        public void OnStepStart(TrainingContext context) => look(context);
    }

    [Fact]
    public void Clipping_counts_the_gradients_of_adapters()
    {
        TrainableModel model = Pruned();
        var partial = new PartialRetraining(RetrainedParts.Biases | RetrainedParts.MaskLora, 3, 32, 4, clipNorm: 1e-3);
        double norm = 0;
        var watch = new After(() => norm = Math.Sqrt(partial.Adapters.SelectMany(a => new[] { a.A, a.B }).Concat(model.Parameters.Where(p => p.Kind == ParameterKind.Bias)).Sum(p => p.Grad!.ToArray().Sum(v => (double)v * v))));
        using var trainer = new Trainer(model, new Training.Optimizers.Sgd(model.Parameters, 0.01), new Training.LearningRates.Constant(0.01), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 1, Callbacks = [partial, watch] });
        trainer.Run();
        Assert.Equal(1e-3, norm, 1e-5);
        // From the plan it reaches the adapters: the run goes another way.
        TrainableModel free = Pruned(), clipped = Pruned();
        using (Trainer t = Train(free, "mask-lora")) t.Run();
        using (Trainer t = Train(clipped, "mask-lora", clip: 1e-4)) t.Run();
        Assert.NotEqual(free.Parameter("conv2.weight").Value.ToArray(), clipped.Parameter("conv2.weight").Value.ToArray());
    }

    private sealed class After(Action look) : ITrainerCallback
    {
        public string Name => "after";

        public void OnGradients(TrainingContext context) => look();
    }

    [Theory]
    [InlineData(AdapterKind.MaskLora, 3, true)]
    [InlineData(AdapterKind.LoraPrune, 3, true)]
    [InlineData(AdapterKind.ScaleLora, 16, true)]
    [InlineData(AdapterKind.ScaleLora, 4, true)]
    [InlineData(AdapterKind.ScaleLora, 2, false)]
    public void Adapters_start_as_the_pruned_weight(AdapterKind kind, int rank, bool exactly)
    {
        TrainableModel model = Pruned();
        foreach (Parameter p in model.Parameters.Where(p => p.Mask is not null))
        {
            float[] before = p.Value.ToArray();
            new LowRankAdapter(p, kind, rank, 32, 5).Merge();
            if (exactly) Assert.Equal(before, p.Value.ToArray());
            else Near.Equal(before, p.Value.Values, 1e-7, 2e-7);
        }
    }

    [Theory]
    [InlineData(AdapterKind.MaskLora)]
    [InlineData(AdapterKind.ScaleLora)]
    [InlineData(AdapterKind.LoraPrune)]
    public void Gradients_of_the_factors_equal_finite_differences(AdapterKind kind)
    {
        TrainableModel model = Pruned();
        Parameter p = model.Parameter("conv2.weight");
        // LoRA-Prune learns without the mask.
        if (kind == AdapterKind.LoraPrune) model.SetMask(p, null);
        var adapter = new LowRankAdapter(p, kind, 2, 3, 5);
        float[] b = Make.Random(adapter.B.Value.Length, 8);
        for (int i = 0; i < b.Length; i++) adapter.B.Value.Values[i] += 0.1f * b[i];
        adapter.Merge();
        Batch batch = Make.Loader().At(0);
        // In training mode: batch statistics are part of what is differentiated.
        model.IsTraining = true;
        double Loss() => TrainingLoss.CrossEntropy()(model.Forward(new ModelValue(batch.Inputs)), batch).Item();
        model.ZeroGrad();
        TrainingLoss.CrossEntropy()(model.Forward(new ModelValue(batch.Inputs)), batch).Backward();
        adapter.TakeGradient();
        Assert.Null(p.Grad);
        foreach (Parameter factor in (Parameter[])[adapter.A, adapter.B])
        {
            float[] gradient = factor.Grad!.ToArray();
            foreach (int i in (int[])[0, gradient.Length / 3, gradient.Length - 1])
            {
                float at = factor.Value.Values[i];
                factor.Value.Values[i] = at + 1e-2f;
                adapter.Merge();
                double high = Loss();
                factor.Value.Values[i] = at - 1e-2f;
                adapter.Merge();
                double low = Loss();
                factor.Value.Values[i] = at;
                adapter.Merge();
                Assert.Equal((high - low) / 2e-2, gradient[i], 2e-3 + 0.03 * Math.Abs(gradient[i]));
            }
        }
    }

    [Theory]
    [InlineData("biases", new[] { "classifier.bias" })]
    [InlineData("norms", new[] { "bn1.", "bn2.", "bn3." })]
    [InlineData("head", new[] { "classifier." })]
    [InlineData("biases,norms", new[] { "classifier.bias", "bn1.", "bn2.", "bn3." })]
    [InlineData("mask-lora", new[] { "conv1.weight", "conv2.weight", "conv3.weight", "classifier.weight" })]
    [InlineData("lora-prune", new[] { "conv1.weight", "conv2.weight", "conv3.weight", "classifier.weight" })]
    [InlineData("scale-lora,head", new[] { "conv1.weight", "conv2.weight", "conv3.weight", "classifier." })]
    public void What_is_frozen_is_bit_identical_and_masks_stay(string retrain, string[] trained)
    {
        TrainableModel model = Pruned();
        Dictionary<string, float[]> before = model.Parameters.ToDictionary(p => p.Name, p => p.Value.ToArray());
        Dictionary<string, Mask?> masks = model.Parameters.ToDictionary(p => p.Name, p => p.Mask);
        using Trainer trainer = Train(model, retrain);
        trainer.Run();
        foreach (Parameter p in model.Parameters)
        {
            Assert.True(p.IsTrained);
            Assert.Equal(masks[p.Name], p.Mask);
            if (p.Mask is { } mask) for (int i = 0; i < mask.Length; i++) Assert.True(mask[i] || p.Value.Values[i] == 0);
            if (trained.Any(t => p.Name.StartsWith(t, StringComparison.Ordinal))) Assert.NotEqual(before[p.Name], p.Value.ToArray());
            else Near.BitEqual(before[p.Name], p.Value.Values, p.Name);
        }
    }

    [Theory]
    [InlineData("mask-lora")]
    [InlineData("scale-lora")]
    [InlineData("lora-prune")]
    public void Two_of_four_holds_after_the_merge(string retrain)
    {
        var model = new TrainableModel(Make.Network());
        PruningResult result = ((OneShotSparsifier)Pruning.Catalog.MethodCatalog.Get("magnitude").Build(new PruningSettings { Pattern = SparsityPattern.NofM(2, 4) })).Apply(PruningTarget.Of(model));
        using (Trainer trainer = Train(model, retrain)) trainer.Run();
        int groups = 0;
        foreach (Pruning.Layers.PrunableLayer layer in result.Layers.Select(l => l.Layer).Where(l => l.Columns % 4 == 0))
        {
            float[] matrix = layer.ToMatrix(model.Parameter(layer.Name).Value.ToArray());
            for (int i = 0; i < matrix.Length; i += 4, groups++) Assert.True(matrix.AsSpan(i, 4).ToArray().Count(v => v != 0) <= 2);
        }
        Assert.True(groups > 100);
    }

    [Fact]
    public void Counts_of_a_small_transformer_worked_example()
    {
        // Width 128, feed-forward 512, vocabulary 256, 64 learned positions, two blocks, head without bias.
        var g = new GraphBuilder("counts", 1);
        Value ids = g.Input("ids", ElementType.Int64, Dimension.Named("batch"), 64);
        Value h = g.Add(g.Embedding(ids, "tokens", 256, 128), g.Weight("positions", Initializer.Normal(0.02f), 64, 128));
        for (int block = 0; block < 2; block++)
        {
            h = g.LayerNorm(h, $"b{block}.ln1");
            foreach (string name in (string[])["q", "k", "v", "o"]) h = g.Linear(h, $"b{block}.{name}", 128);
            h = g.LayerNorm(h, $"b{block}.ln2");
            h = g.Linear(g.Linear(h, $"b{block}.up", 512), $"b{block}.down", 128);
        }
        ModelGraph graph = g.Output("logits", g.Linear(g.LayerNorm(h, "ln"), "head", 256, bias: false)).Build();
        var model = new TrainableModel(graph);
        Assert.Equal(470_528, model.Parameters.Sum(p => p.Value.Length));
        Assert.Equal(2_304, new PartialRetraining(RetrainedParts.Biases).CountTrained(model));
        Assert.Equal(1_280, new PartialRetraining(RetrainedParts.Norms).CountTrained(model));
        Assert.Equal(0.762, Math.Round(100 * new PartialRetraining(RetrainedParts.Biases | RetrainedParts.Norms).CountTrained(model) / 470_528.0, 3));
        foreach (Parameter p in model.Parameters.Where(p => p.Kind == ParameterKind.Weight && p.Name != "head.weight")) model.SetMask(p, Mask.Ones(p.Value.Shape.ToArray()));
        Assert.Equal(18_432, new PartialRetraining(RetrainedParts.MaskLora, rank: 4).CountTrained(model));
    }

    [Theory]
    [InlineData("mask-lora,biases")]
    [InlineData("lora-prune,biases")]
    public void Stopped_and_resumed_is_bit_equal(string retrain)
    {
        string path = Path.Combine(_folder, "run.safetensors");
        TrainableModel straight = Pruned(), cut = Pruned(), resumed = Pruned();
        using (Trainer trainer = Train(straight, retrain)) trainer.Run();
        using (Trainer trainer = Train(cut, retrain, checkpoint: path))
        {
            using var cancel = new CancellationTokenSource();
            trainer.Run(new At(3, cancel), cancel.Token);
        }
        using (Trainer trainer = Train(resumed, retrain, resume: path)) trainer.Run();
        foreach (Parameter p in straight.Parameters) Near.BitEqual(p.Value.Values, resumed.Parameter(p.Name).Value.Values, p.Name);
        // A checkpoint from the middle, of a process that was killed: the masks may be in the callback's state alone.
        TrainableModel killed = Pruned(), again = Pruned();
        using (Trainer trainer = Train(killed, retrain)) trainer.Run(new Saves(3, trainer, path));
        using (Trainer trainer = Train(again, retrain, resume: path)) trainer.Run();
        foreach (Parameter p in straight.Parameters) Near.BitEqual(p.Value.Values, again.Parameter(p.Name).Value.Values, p.Name);
    }

    private sealed class Saves(long step, Trainer trainer, string path) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step) trainer.Save(path);
        }
    }

    [Theory]
    [InlineData("everything")]
    [InlineData("mask-lora,scale-lora")]
    [InlineData("lora-prune,mask-lora")]
    [InlineData(",")]
    public void What_cannot_be_retrained_is_said(string retrain) => Assert.Equal("SL4002", Assert.Throws<PruningException>(() => PartialRetraining.Parse(retrain)).Code);

    [Fact]
    public void An_adapter_needs_a_pruned_weight()
    {
        var dense = new TrainableModel(Make.Network());
        using Trainer trainer = Train(dense, "mask-lora");
        Assert.Equal("SL4006", Assert.Throws<PruningException>(() => trainer.Run()).Code);
    }

    private sealed class At(long step, CancellationTokenSource cancel) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step) cancel.Cancel();
        }
    }
}
