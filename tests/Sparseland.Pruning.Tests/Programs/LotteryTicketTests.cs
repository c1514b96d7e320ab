using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Programs;

public sealed class LotteryTicketTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-programs-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static readonly TrainingPlan s_plan = new() { Steps = 12, BatchSize = 20, Schedule = "linear", Seed = 3 };

    private static DataSource Data => new("shapes", "procedural", Make.Pictures(), Make.Pictures(60, 9));

    private static (ProgramRun Run, TrainableModel Model, PruningResult Result) Go(LotteryTicket program, ProgramOptions? options = null, CancellationToken cancellation = default)
    {
        var model = new TrainableModel(Make.Network());
        var run = new ProgramRun(program, model, options ?? new ProgramOptions { Plan = s_plan, Data = Data }, cancellation);
        return (run, model, program.Run(run));
    }

    private static LotteryTicket Ticket(double sparsity, int rounds, double rewind = 0, TicketReset reset = TicketReset.Rewind, bool global = false) =>
        new(new PruningSettings { Sparsity = sparsity, Seed = 1 }, rounds, global, rewind, reset);

    [Theory]
    [InlineData(3, 51.28)]
    [InlineData(7, 21.07)]
    [InlineData(9, 13.52)]
    [InlineData(12, 6.95)]
    [InlineData(15, 3.58)]
    [InlineData(19, 1.49)]
    public void LeNet_keeps_the_published_shares(int rounds, double percent)
    {
        PrunableLayer[] layers = [Make.Layer("fc1", 300, 784), Make.Layer("fc2", 100, 300), Make.Layer("fc3", 10, 100) with { IsLast = true }];
        Assert.Equal(percent, Math.Round(100.0 * layers.Sum(l => LotteryTicket.KeptAfter(l, 0.2, rounds)) / 266_200, 2));
        // The other way round: the rate that reaches this density is 20 %.
        Assert.Equal(0.2, LotteryTicket.SolveRate(layers, layers.Sum(l => LotteryTicket.KeptAfter(l, 0.2, rounds)) / 266_200.0, rounds), 3);
    }

    [Fact]
    public void Rates_per_round_worked_examples()
    {
        Assert.Equal([0.53584, 0.36904], new[] { 3, 5 }.Select(n => Math.Round(LotteryTicket.RatePerRound(0.9, n), 5)));
        Assert.Equal([0.9, 0.683772], new[] { 1, 2 }.Select(n => Math.Round(LotteryTicket.RatePerRound(0.9, n), 6)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Survivors_start_at_their_initial_values_and_masks_are_nested(bool global)
    {
        var initial = new TrainableModel(Make.Network());
        var starts = new List<ModelSnapshot>();
        var watch = new Watch(c =>
        {
            if (c.Step == 0) starts.Add(ModelSnapshot.Of(c.Model));
        });
        (ProgramRun run, TrainableModel model, PruningResult result) = Go(Ticket(0.8, 3, global: global), new ProgramOptions { Plan = s_plan, Data = Data, Callbacks = [watch] });
        Assert.Equal(4, starts.Count);
        Assert.Equal(["dense", "round-1", "round-2", "ticket"], run.Records.Select(r => r.Phase));
        Assert.Equal(Math.Round(result.Total * 0.2), result.Kept);
        Assert.Equal(0.2, run.Records[^1].Density, 3);
        for (int r = 1; r < starts.Count; r++)
        {
            foreach (PrunableLayer layer in run.Target.Layers)
            {
                Mask mask = starts[r].Mask(layer.Name)!;
                if (starts[r - 1].Mask(layer.Name) is { } before) Assert.True(mask.IsSubsetOf(before));
                float[] first = initial.Parameter(layer.Name).Value.ToArray();
                for (int i = 0; i < first.Length; i++) Assert.Equal(mask[i] ? first[i] : 0, starts[r].Values(layer.Name)[i]);
            }
            foreach (Parameter p in initial.Parameters.Where(p => p.Kind != ParameterKind.Weight)) Assert.Equal(p.Value.ToArray(), starts[r].Values(p.Name));
        }
        Assert.True(model.Parameters.All(p => p.Mask is null || p.Value.ToArray().Where((_, i) => !p.Mask[i]).All(v => v == 0)));
    }

    private sealed class Watch(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "watch";

        public void OnStepStart(TrainingContext context) => look(context);
    }

    [Fact]
    public void Nothing_removed_is_plain_training_again()
    {
        (_, TrainableModel model, _) = Go(Ticket(0, 1));
        var plain = new TrainableModel(Make.Network());
        using Trainer trainer = s_plan.CreateTrainer(plain, new RecoveryContext(Data, InputNormalization.None));
        trainer.Run();
        foreach (Parameter p in plain.Parameters) Near.BitEqual(p.Value.Values, model.Parameter(p.Name).Value.Values, p.Name);
    }

    [Fact]
    public void A_rewound_ticket_goes_on_at_its_step_with_its_learning_rate()
    {
        var steps = new List<(long Step, double Rate)>();
        var watch = new Rates(steps);
        (ProgramRun run, _, _) = Go(Ticket(0.5, 1, rewind: 0.25), new ProgramOptions { Plan = s_plan, Data = Data, Callbacks = [watch] });
        Assert.Equal(12 + 9, steps.Count);
        Assert.Equal((3, s_plan.CreateLearningRate(12).At(3)), steps[12]);
        Assert.Equal([12, 9], run.Records.Select(r => r.Steps));
        Assert.Equal(1.75, Ticket(0.5, 1, rewind: 0.25).Trainings);
        // Going back to step 0 is the original method, bit for bit.
        (_, TrainableModel a, _) = Go(Ticket(0.5, 2));
        (_, TrainableModel b, _) = Go(Ticket(0.5, 2, rewind: 0));
        foreach (Parameter p in a.Parameters) Near.BitEqual(p.Value.Values, b.Parameter(p.Name).Value.Values, p.Name);
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.25)]
    [InlineData(0.5)]
    public void With_nothing_removed_a_rewound_network_ends_exactly_where_the_dense_one_did(double rewind)
    {
        ModelSnapshot? dense = null;
        var ends = new End(c => dense ??= ModelSnapshot.Of(c.Model));
        // Without momentum: a rewound run starts with fresh moments, which alone would make it another run for steps above 0.
        (_, TrainableModel model, _) = Go(Ticket(0, 1, rewind), new ProgramOptions { Plan = s_plan with { Momentum = 0 }, Data = Data, Callbacks = [ends] });
        foreach (Parameter p in model.Parameters) Near.BitEqual(dense!.Values(p.Name).ToArray(), p.Value.Values, p.Name);
    }

    private sealed class End(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "end";

        public void OnEnd(TrainingContext context) => look(context);
    }

    private sealed class Rates(List<(long, double)> steps) : ITrainerCallback
    {
        public string Name => "rates";

        public void OnStepEnd(TrainingContext context) => steps.Add((context.Step, context.Optimizer.LearningRate));
    }

    [Fact]
    public void Controls_have_the_same_mask_or_the_same_values_in_another_order()
    {
        float[]? initial = null;
        ModelSnapshot? start = null;
        int phase = 0;
        var watch = new Watch(c =>
        {
            if (c.Step != 0) return;
            if (phase++ == 0) initial = c.Model.Parameter("conv2.weight").Value.ToArray();
            else start = ModelSnapshot.Of(c.Model);
        });
        Go(Ticket(0.5, 1, reset: TicketReset.Reinitialise), new ProgramOptions { Plan = s_plan, Data = Data, Callbacks = [watch] });
        Assert.Subset(initial!.ToHashSet(), start!.Values("conv2.weight").Where(v => v != 0).ToHashSet());
        float[] same = [.. initial!.Select((v, i) => start.Mask("conv2.weight")![i] ? v : 0)];
        Assert.NotEqual(same, start.Values("conv2.weight"));
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => Ticket(0.5, 1, 0.5, TicketReset.Reinitialise)).Code);
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => Ticket(0.5, 1, 0.5, TicketReset.Continue)).Code);
    }

    [Fact]
    public void The_control_that_is_drawn_anew_has_the_mask_of_the_ticket()
    {
        (_, TrainableModel ticket, _) = Go(Ticket(0.7, 3));
        (_, TrainableModel anew, _) = Go(Ticket(0.7, 3, reset: TicketReset.Reinitialise));
        foreach (Parameter p in ticket.Parameters) Assert.Equal(p.Mask, anew.Parameter(p.Name).Mask);
        Assert.NotEqual(ticket.Parameter("conv2.weight").Value.ToArray(), anew.Parameter("conv2.weight").Value.ToArray());
    }

    [Fact]
    public void The_control_with_random_positions_has_the_counts_of_the_ticket_and_the_original_values()
    {
        var initial = new TrainableModel(Make.Network());
        ModelSnapshot? start = null;
        var watch = new Watch(c =>
        {
            if (c.Step == 0) start = ModelSnapshot.Of(c.Model);
        });
        (_, TrainableModel ticket, _) = Go(Ticket(0.7, 2));
        (_, TrainableModel random, PruningResult result) = Go(Ticket(0.7, 2, reset: TicketReset.RandomMask), new ProgramOptions { Plan = s_plan, Data = Data, Callbacks = [watch] });
        Assert.Equal(Math.Round(result.Total * 0.3), result.Kept);
        foreach (Parameter p in ticket.Parameters.Where(p => p.Mask is not null))
        {
            Mask mask = random.Parameter(p.Name).Mask!;
            Assert.Equal(p.Mask!.KeptCount, mask.KeptCount);
            if (mask.Length > 100) Assert.NotEqual(p.Mask, mask);
            float[] first = initial.Parameter(p.Name).Value.ToArray();
            for (int i = 0; i < first.Length; i++) Assert.Equal(mask[i] ? first[i] : 0, start!.Values(p.Name)[i]);
        }
    }

    [Fact]
    public void Random_positions_are_drawn_among_the_weights_that_were_there_at_the_start()
    {
        var model = new TrainableModel(Make.Network());
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.4 })).Apply(PruningTarget.Of(model));
        Dictionary<string, Mask?> given = model.Parameters.ToDictionary(p => p.Name, p => p.Mask);
        LotteryTicket program = Ticket(0.7, 2, reset: TicketReset.RandomMask);
        PruningResult result = program.Run(new ProgramRun(program, model, new ProgramOptions { Plan = s_plan, Data = Data }, CancellationToken.None));
        Assert.Equal(Math.Round(result.Total * 0.3), result.Kept);
        foreach (Parameter p in model.Parameters.Where(p => given[p.Name] is not null)) Assert.True(p.Mask!.IsSubsetOf(given[p.Name]!), p.Name);
    }

    [Fact]
    public void Rewinding_to_a_state_that_was_not_kept_is_told_with_the_way_out()
    {
        string folder = Path.Combine(_folder, "gone");
        ProgramOptions Options(bool resume) => new() { Plan = s_plan, Data = Data, Folder = folder, Resume = resume };
        Go(Ticket(0.7, 1, rewind: 0.25), Options(false));
        File.Delete(Path.Combine(folder, "dense.step3.safetensors"));
        int steps = 0;
        PruningException e = Assert.Throws<PruningException>(() => Go(Ticket(0.7, 1, rewind: 0.25), Options(true) with { Callbacks = [new Watch(_ => steps++)] }));
        Assert.Equal("SL4015", e.Code);
        Assert.Contains("step 3", e.Message);
        Assert.Contains("start anew", e.Try);
        Assert.Equal(0, steps);
        var phase = new PhaseResult("dense", 12, 1, new Dictionary<long, ModelSnapshot> { [0] = ModelSnapshot.Of(new TrainableModel(Make.Network())) }, false);
        Assert.NotNull(phase.State(0));
        e = Assert.Throws<PruningException>(() => phase.State(5));
        Assert.Equal("SL4015", e.Code);
        Assert.NotNull(e.Try);
    }

    [Fact]
    public void Floors_hold_layer_by_layer_and_the_total_is_exact()
    {
        var settings = new PruningSettings { Sparsity = 0.9, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 40 } };
        (_, _, PruningResult result) = Go(new LotteryTicket(settings, 2));
        Assert.All(result.Layers, l => Assert.True(l.After >= Math.Min(40, l.Layer.Length)));
        Assert.Contains(result.Layers, l => l.After == 40);
        Assert.Equal(Math.Round(0.1 * result.Total), result.Kept);
    }

    [Fact]
    public void A_program_that_is_stopped_anywhere_ends_with_the_same_weights()
    {
        LotteryTicket Program() => Ticket(0.7, 2, rewind: 0.25);
        (_, TrainableModel straight, _) = Go(Program());
        string wanted = Print(straight);
        foreach (int stop in (int[])[1, 3, 5, 12, 14, 21, 29])
        {
            string folder = Path.Combine(_folder, stop.ToString());
            using var cancel = new CancellationTokenSource();
            int steps = 0;
            var counter = new Watch(_ =>
            {
                if (++steps > stop) cancel.Cancel();
            });
            Assert.ThrowsAny<OperationCanceledException>(() => Go(Program(), new ProgramOptions { Plan = s_plan, Data = Data, Folder = folder, Callbacks = [counter] }, cancel.Token));
            var idle = new Watch(_ => steps++);
            (ProgramRun run, TrainableModel resumed, _) = Go(Program(), new ProgramOptions { Plan = s_plan, Data = Data, Folder = folder, Resume = true, Callbacks = [idle] });
            Assert.Equal(wanted, Print(resumed));
            // 12 + 9 + 9 steps in all; the step in which it was stopped was finished.
            Assert.Equal(30, steps);
            Assert.Equal(["dense", "round-1", "ticket"], run.Records.Select(r => r.Phase));
        }
        PruningException e = Assert.Throws<PruningException>(() => Go(Program(), new ProgramOptions { Plan = s_plan with { LearningRate = 0.01 }, Data = Data, Folder = Path.Combine(_folder, "29"), Resume = true }));
        Assert.Equal("SL4015", e.Code);
    }

    private static string Print(TrainableModel model) => string.Join("|", model.Parameters.Select(p => string.Join(",", p.Value.ToArray().Select(BitConverter.SingleToInt32Bits)) + p.Mask)) +
        string.Join("|", model.Buffers.Select(b => string.Join(",", b.Value.ToArray().Select(BitConverter.SingleToInt32Bits))));

    [Fact]
    public void Snapshots_survive_a_file()
    {
        var model = new TrainableModel(Make.Network());
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.5 })).Apply(PruningTarget.Of(model));
        string wanted = Print(model), path = Path.Combine(_folder, "s.safetensors");
        ModelSnapshot.Of(model).Save(path, new Dictionary<string, string> { ["a"] = "b" });
        var other = new TrainableModel(Make.Network(seed: 7));
        (ModelSnapshot read, IReadOnlyDictionary<string, string> metadata) = ModelSnapshot.Load(path);
        read.Restore(other);
        Assert.Equal(wanted, Print(other));
        Assert.Equal("b", metadata["a"]);
        var wrong = new TrainableModel(Make.Network(width: 4));
        Assert.Equal("SL4015", Assert.Throws<PruningException>(() => read.Restore(wrong)).Code);
    }
}
