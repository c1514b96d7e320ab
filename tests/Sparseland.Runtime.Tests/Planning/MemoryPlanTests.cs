using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests.Planning;

public sealed class MemoryPlanTests
{
    // What the plan promises: one cache line.
    private const int Line = 16;

    /// <summary>Runs drawn graphs step by step in the memory that the plan gives out: each step finds what it reads as it was written.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(0.3)]
    [InlineData(1)]
    public void Steps_find_what_they_read_as_it_was_written(double halved)
    {
        for (int seed = 0; seed < 200; seed++)
        {
            (MemoryPlan.Life[] lives, List<int>[] reads) = Draw(seed, halved);
            int[] lengths = [.. lives.Select(l => l.Slot.Length)];
            int total = MemoryPlan.Place(lives);
            var arena = new int[total];
            for (int step = 0; step < lives.Length; step++)
            {
                // Written first: a step's output may not lie where its inputs do.
                foreach (Memory<int> part in Parts(lives[step].Slot, lengths[step], arena)) part.Span.Fill(step + 1);
                foreach (int read in reads[step])
                {
                    foreach (Memory<int> part in Parts(lives[read].Slot, lengths[read], arena)) Assert.False(part.Span.ContainsAnyExcept(read + 1), $"seed {seed}: step {step} reads value {read}, which another has overwritten");
                }
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.3)]
    [InlineData(1)]
    public void The_arena_is_no_longer_than_all_values_and_no_shorter_than_those_of_a_step(double halved)
    {
        for (int seed = 0; seed < 200; seed++)
        {
            (MemoryPlan.Life[] lives, _) = Draw(seed, halved);
            int[] floats = [.. lives.Select(l => Lines(l.Slot.Length) * (l.Slot.InHalves ? 2 : 1))];
            int total = MemoryPlan.Place(lives);
            Assert.InRange(total, Enumerable.Range(0, lives.Length).Max(step => lives.Zip(floats).Where(p => p.First.First <= step && step <= p.First.Last).Sum(p => p.Second)), floats.Sum());
            Assert.Equal(0, total % Line);
            Assert.All(lives, l => Assert.Equal(0, l.Slot.Offset % Line));
        }
    }

    /// <summary>Nothing lies higher than what is alive beside it asks for.</summary>
    [Fact]
    public void Values_begin_where_the_arena_does_or_another_ends()
    {
        for (int seed = 0; seed < 200; seed++)
        {
            (MemoryPlan.Life[] lives, _) = Draw(seed, halved: 0);
            MemoryPlan.Place(lives);
            foreach (MemoryPlan.Life life in lives) Assert.True(life.Slot.Offset == 0 || lives.Any(o => o != life && o.Meets(life) && o.Slot.Offset + Lines(o.Slot.Length) == life.Slot.Offset), $"seed {seed}, value {life.Slot.Id}");
        }
    }

    [Fact]
    public void A_chain_takes_the_memory_of_two_neighbours()
    {
        MemoryPlan.Life[] lives = [.. Enumerable.Range(0, 20).Select(i => new MemoryPlan.Life(Value(i, 100), i, i + 1))];
        Assert.Equal(2 * 112, MemoryPlan.Place(lives));
        Assert.Equal(2, lives.Select(l => l.Slot.Offset).Distinct().Count());
    }

    [Fact]
    public void Values_that_are_all_alive_at_once_share_nothing()
    {
        MemoryPlan.Life[] lives = [.. Enumerable.Range(0, 9).Select(i => new MemoryPlan.Life(Value(i, 10 + i), i, 9))];
        Assert.Equal(lives.Sum(l => Lines(l.Slot.Length)), MemoryPlan.Place(lives));
    }

    [Fact]
    public void The_place_does_not_depend_on_the_order_of_the_values()
    {
        (MemoryPlan.Life[] lives, _) = Draw(5, halved: 0.3);
        (MemoryPlan.Life[] others, _) = Draw(5, halved: 0.3);
        new Random(1).Shuffle(others);
        Assert.Equal(MemoryPlan.Place(lives), MemoryPlan.Place(others));
        foreach (MemoryPlan.Life life in lives) Assert.Equal(life.Slot.Offset, others.Single(o => o.Slot.Id == life.Slot.Id).Slot.Offset);
    }

    /// <summary>Memory belongs to one thread in all layers: behind whole values all upper halves, behind those all lower ones.</summary>
    [Fact]
    public void Halves_have_two_pieces_that_are_laid_out_alike()
    {
        (MemoryPlan.Life[] lives, _) = Draw(8, halved: 0.5);
        int[] lengths = [.. lives.Select(l => l.Slot.Length)];
        int total = MemoryPlan.Place(lives), piece = lives.First(l => l.Slot.InHalves).Slot.HalvesApart, whole = total - (2 * piece);
        foreach ((MemoryPlan.Life life, int length) in lives.Zip(lengths))
        {
            if (!life.Slot.InHalves)
            {
                Assert.Equal((0, length), (life.Slot.HalvesApart, life.Slot.Length));
                Assert.InRange(life.Slot.Offset + length, 0, whole);
                continue;
            }
            Assert.Equal((piece, piece + length), (life.Slot.HalvesApart, life.Slot.Length));
            Assert.InRange(life.Slot.Offset, whole, whole + piece - length);
        }
    }

    [Fact]
    public void Nothing_takes_no_memory()
    {
        Assert.Equal(0, MemoryPlan.Place([]));
        MemoryPlan.Life empty = new(Value(0, 0), 0, 3), other = new(Value(1, 5), 1, 2);
        Assert.Equal(Line, MemoryPlan.Place([empty, other]));
    }

    [Fact]
    public void An_arena_that_no_array_could_be_is_refused()
    {
        const int Most = int.MaxValue / 2;
        Assert.Throws<OverflowException>(() => MemoryPlan.Place([new(Value(0, Most), 0, 2), new(Value(1, Most), 1, 3), new(Value(2, Most), 2, 4)]));
        Assert.Throws<OverflowException>(() => MemoryPlan.Place([new(Value(0, int.MaxValue), 0, 1)]));
        Slot halved = Value(0, Most + 1);
        halved.InHalves = true;
        Assert.Throws<OverflowException>(() => MemoryPlan.Place([new(halved, 0, 1)]));
    }

    /// <summary>A value whose other name is read last lives until then: what lies between must not take its memory.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_value_lives_as_long_as_its_aliases(int between)
    {
        var b = new GraphBuilder("aliases", 1);
        Value x = b.Input("x", ElementType.Float32, 4, 8), first = b.Relu(b.MatMul(x, b.Weight("first", Numbers(1, 8, 8))));
        Value view = b.Reshape(b.Reshape(first, 32), 8, 4), h = first;
        for (int i = 0; i < between; i++) h = b.Sigmoid(b.MatMul(h, b.Weight($"between{i}", Numbers(2 + i, 8, 8))));
        ModelGraph graph = b.Build(b.Add(b.Reshape(h, 8, 4), view));
        var inputs = new Dictionary<string, TensorData> { ["x"] = Numbers(20, 4, 8) };
        var session = new InferenceSession(graph);
        TensorData expected = GraphEvaluator.Run(graph, inputs).Values.Single(), actual = session.Run(inputs).Values.Single();
        for (int i = 0; i < 32; i++) Assert.Equal(expected.Span<float>()[i], actual.Span<float>()[i], 1e-5f);
    }

    private static TensorData Numbers(int seed, params int[] shape)
    {
        var random = new Random(seed);
        return TensorData.Wrap([.. Enumerable.Range(0, shape.Aggregate(1, (a, n) => a * n)).Select(_ => random.NextSingle() - 0.3f)], shape);
    }

    private static Slot Value(int id, int length) => new(id, $"v{id}", SlotKind.Arena) { Length = length };

    private static int Lines(int length) => (length + Line - 1) / Line * Line;

    // A half's memory, or all of it.
    private static IEnumerable<Memory<int>> Parts(Slot slot, int length, int[] arena)
    {
        yield return arena.AsMemory(slot.Offset, length);
        if (slot.InHalves) yield return arena.AsMemory(slot.Offset + slot.HalvesApart, length);
    }

    /// <summary>A graph of one value a step, each read by some later steps, the last ones by whoever called.</summary>
    private static (MemoryPlan.Life[] Lives, List<int>[] Reads) Draw(int seed, double halved)
    {
        var random = new Random(seed);
        int steps = random.Next(1, 40);
        var reads = new List<int>[steps];
        int[] last = [.. Enumerable.Range(0, steps)];
        for (int s = 0; s < steps; s++)
        {
            reads[s] = [];
            for (int i = random.Next(4); i > 0 && s > 0; i--)
            {
                // Mostly what was written a moment ago, sometimes from far.
                int read = random.Next(3) > 0 ? Math.Max(0, s - random.Next(1, 4)) : random.Next(s);
                reads[s].Add(read);
                last[read] = s;
            }
        }
        var lives = new MemoryPlan.Life[steps];
        for (int s = 0; s < steps; s++)
        {
            Slot slot = Value(s, random.Next(8) == 0 ? 0 : random.Next(1, random.Next(2) == 0 ? 40 : 1000));
            slot.InHalves = random.NextDouble() < halved;
            lives[s] = new(slot, s, last[s]);
        }
        return (lives, reads);
    }
}
