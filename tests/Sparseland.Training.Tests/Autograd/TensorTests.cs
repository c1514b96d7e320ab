using Sparseland.Training.Autograd;

namespace Sparseland.Training.Tests.Autograd;

public class TensorTests
{
    [Fact]
    public void GradientsAddUpOverUsesAndPasses()
    {
        Tensor x = Leaf(2, 3);
        Tensor y = (x * x).Sum() + (3f * x).Sum();
        y.Backward();
        Assert.Equal([7f, 9f], x.Grad!.ToArray());
        (x * 2f).Sum().Backward();
        Assert.Equal([9f, 11f], x.Grad!.ToArray());
        x.ZeroGrad();
        Assert.Null(x.Grad);
        x.Sum().Backward();
        Assert.Equal([1f, 1f], x.Grad!.ToArray());
    }

    [Fact]
    public void AGraphIsDifferentiatedOnceUnlessItIsRetained()
    {
        Tensor x = Leaf(2, 3), y = (x * x).Sum();
        y.Backward(retainGraph: true);
        y.Backward();
        Assert.Equal([8f, 12f], x.Grad!.ToArray());
        Assert.Throws<InvalidOperationException>(() => y.Backward());
    }

    [Fact]
    public void NothingIsRecordedWhereItIsSwitchedOff()
    {
        Tensor x = Leaf(1, 2);
        using (GradientMode.Off())
        {
            Assert.False(GradientMode.IsOn);
            using (GradientMode.Off()) Assert.False((x * x).RequiresGrad);
            Assert.False((x * x).RequiresGrad);
        }
        Assert.True(GradientMode.IsOn);
        Assert.True((x * x).RequiresGrad);
        Assert.False(x.Detach().RequiresGrad);
        Assert.Throws<InvalidOperationException>(() => x.Sum().Detach().Backward());
    }

    [Fact]
    public void ATensorThatIsHeldIsNeverOverwritten()
    {
        var random = new Random(5);
        Tensor w = Tensor.Normal(random, 64, 64);
        w.RequiresGrad = true;
        var held = new List<(Tensor Tensor, float[] Copy)>();
        for (int step = 0; step < 20; step++)
        {
            Tensor x = Tensor.Normal(random, 64, 64), h = x.MatMul(w), a = h.Relu(), r = a.Reshape(32, 128), s = r.Softmax();
            Tensor g = Tensor.Ones(32, 128), loss = (s * s).Sum();
            foreach (Tensor t in (Tensor[])[x, h, a, r, s, g]) held.Add((t, t.ToArray()));
            (s * 2f).Backward(g, retainGraph: true);
            loss.Backward();
            w.ZeroGrad();
            foreach ((Tensor tensor, float[] copy) in held) Near.BitEqual(copy, tensor.Values, "a tensor in a user's hands");
        }
    }

    [Fact]
    public void SharedGradientsAreNotMixedUp()
    {
        // x feeds two branches through an Add whose gradient both share; one of them changes its share in place.
        Tensor x = Leaf(-1, 2), y = Leaf(3, -4);
        Tensor a = x.Relu(), sum = a + y.Tanh();
        (sum + a).Sum().Backward();
        Assert.Equal([0f, 2f], x.Grad!.ToArray());
        for (int i = 0; i < 2; i++) Assert.Equal(1 - Math.Pow(Math.Tanh(y.Values[i]), 2), y.Grad!.Values[i], 5);
    }

    [Fact]
    public void CustomFunctionsTakePart()
    {
        Tensor x = Leaf(-2, 0.5f);
        Tensor y = new StraightThroughSign().Apply(x * 3f);
        Assert.Equal([-1f, 1f], y.ToArray());
        (y * Tensor.From([5f, 7f], 2)).Sum().Backward();
        Assert.Equal([15f, 21f], x.Grad!.ToArray());
        var wrong = new Wrong();
        Assert.Throws<ArgumentException>(() => wrong.Apply(x).Sum().Backward());
        Assert.Throws<InvalidOperationException>(() => wrong.Apply(x));
    }

    [Fact]
    public void ShapesThatDoNotFitAreRefused()
    {
        Assert.Throws<ArgumentException>(() => Tensor.Zeros(2, 3) + Tensor.Zeros(2));
        Assert.Throws<ArgumentException>(() => Tensor.Zeros(2, 3).MatMul(Tensor.Zeros(2, 3)));
        Assert.Throws<ArgumentException>(() => Tensor.Zeros(2, 3).Reshape(4));
        Assert.Throws<ArgumentException>(() => Tensor.Zeros(2, 3).Transpose(0, 0));
        Assert.Throws<ArgumentException>(() => Tensor.Zeros(2, 3).Sum(2));
        Assert.Throws<InvalidOperationException>(() => Leaf(1, 2).Backward());
    }

    [Fact]
    public void PooledSizesWasteLittleAndFitTheirLength()
    {
        for (int length = 1; length < 5_000_000; length += Math.Max(1, length / 7))
        {
            int size = BufferPool.RoundUp(length);
            Assert.True(size >= length && size == BufferPool.RoundUp(size));
            if (length >= BufferPool.Smallest) Assert.True(size <= (length * 1.13) + 1, $"{length} -> {size}");
        }
        var pool = new BufferPool();
        float[] a = pool.Rent(5000);
        pool.Return(a);
        Assert.True(pool.HeldBytes > 0);
        Assert.Same(a, pool.Rent(5000));
        pool.Return(a);
        for (int i = 0; i <= BufferPool.MaxAge; i++) pool.Tick();
        Assert.True(pool.HeldBytes > 0);
        pool.Tick(Environment.TickCount64 + BufferPool.MaxIdle + 1);
        Assert.Equal(0, pool.HeldBytes);
    }

    private static Tensor Leaf(params float[] values)
    {
        Tensor x = Tensor.From(values, values.Length);
        x.RequiresGrad = true;
        return x;
    }

    private sealed class StraightThroughSign : CustomFunction
    {
        protected override Tensor Forward(Tensor[] inputs) => inputs[0].Sign();

        protected override Tensor?[] Backward(Tensor gradient) => [gradient];
    }

    private sealed class Wrong : CustomFunction
    {
        protected override Tensor Forward(Tensor[] inputs) => inputs[0];

        protected override Tensor?[] Backward(Tensor gradient) => [Tensor.Zeros(17)];
    }
}
